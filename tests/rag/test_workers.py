"""Supervised children, with a real service in real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rag.child import Inbox, Peer, Request, emit_together
from rag.errors import NotFound, WorkerDied, WorkerError, WorkerTimeout, WorkerUnavailable
from rag.sharing import SharedWorker, address_of
from rag.workers import Worker, frame

TARGET = "odd_service:OddService"


@pytest.fixture(autouse=True)
def service_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "services"))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def working(problem: str = "", clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Worker]:
    worker = Worker(TARGET, {"problem": problem}, name="odd", clock=clock)
    try:
        yield worker
    finally:
        await worker.stop()


def run(story: Callable[[Worker], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with working(**options) as worker:
            await story(worker)

    asyncio.run(main())


def test_a_call_returns_what_the_service_returned() -> None:
    async def story(worker: Worker) -> None:
        value = {"text": "grüße 🌿 \ud800", "list": [1, None, 2.5]}
        assert await worker.call("echo", value=value) == value

    run(story)


def test_a_stream_brings_every_event_in_order() -> None:
    async def story(worker: Worker) -> None:
        assert [event async for event in worker.stream("count_up", to=5)] == [0, 1, 2, 3, 4]

    run(story)


def test_events_of_several_requests_reach_each_client_in_order_and_in_one_write() -> None:
    class Wire:
        def __init__(self) -> None:
            self.writes: list[bytes] = []

        def sendall(self, data: bytes) -> None:
            self.writes.append(data)

    wires = Wire(), Wire()
    one, other = (Peer(wire, Inbox({})) for wire in wires)  # type: ignore[arg-type]
    requests = [Request(peer, number, "stream", {}) for peer, number in ((one, 1), (other, 1), (one, 2))]
    emit_together(zip([*requests, requests[0]], "abcd", strict=True))
    assert wires[0].writes == [
        b"".join(frame({"id": i, "event": e}) for i, e in ((1, "a"), (2, "c"), (1, "d")))
    ]
    assert wires[1].writes == [frame({"id": 1, "event": "b"})]


def test_a_closed_stream_is_cancelled_in_the_child() -> None:
    async def story(worker: Worker) -> None:
        events = worker.stream("count_up", to=100_000)
        async for number in events:
            if number == 3:
                break
        await events.aclose()  # type: ignore[attr-defined]
        assert await worker.call("streams_cut", timeout_s=60) == 1

    run(story)


def test_an_error_of_ours_keeps_its_type_and_words() -> None:
    async def story(worker: Worker) -> None:
        with pytest.raises(NotFound, match="document 7 is not here"):
            await worker.call("fail")

    run(story)


def test_a_bug_is_named_and_the_child_lives_on() -> None:
    async def story(worker: Worker) -> None:
        before = await worker.call("pid")
        with pytest.raises(WorkerError, match="ZeroDivisionError: a bug"):
            await worker.call("break_down")
        with pytest.raises(WorkerError, match="TypeError"):
            await worker.call("echo", wrong=1)
        assert await worker.call("pid") == before

    run(story)


def test_a_late_answer_is_a_timeout() -> None:
    async def story(worker: Worker) -> None:
        with pytest.raises(WorkerTimeout, match=r"'wait' within 0\.05 s"):
            await worker.call("wait", timeout_s=0.05, seconds=0.2)
        assert await worker.call("echo", value=1) == 1

    run(story)


def test_calls_of_a_lower_rank_overtake(tmp_path: Path) -> None:
    over = tmp_path / "over"

    async def story(worker: Worker) -> None:
        await worker.start()
        done: list[str] = []

        async def note(name: str, *, method: str, **args: Any) -> None:
            await worker.call(method, **args)
            done.append(name)

        first = asyncio.create_task(note("first", method="hold", until=str(over)))
        while not over.with_suffix(".begun").exists():
            await asyncio.sleep(0.01)
        others = [note("wait", method="wait", seconds=0.0), note("echo", method="echo", value=1)]
        tasks = [first, *map(asyncio.create_task, others)]
        await asyncio.sleep(0.5)  # what was sent has arrived
        over.touch()
        await asyncio.gather(*tasks)
        assert done == ["first", "echo", "wait"]

    run(story)


def test_a_child_that_dies_is_named_with_its_signal_and_replaced() -> None:
    async def story(worker: Worker) -> None:
        before = await worker.call("pid")
        with pytest.raises(WorkerDied, match="SIGSEGV"):
            await worker.call("die", sign="SIGSEGV")
        assert await worker.call("pid") != before

    run(story)


def test_all_who_wait_for_a_dying_child_hear_of_it() -> None:
    async def story(worker: Worker) -> None:
        await worker.start()
        calls = [worker.call("wait", seconds=30), worker.call("wait", seconds=30)]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0.05)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, WorkerDied) and "SIGKILL" in str(outcome)

    run(story)


def test_three_crashes_within_a_minute_switch_it_off_for_the_rest_of_the_minute() -> None:
    clock = Clock()

    async def story(worker: Worker) -> None:
        for _ in range(3):
            with pytest.raises(WorkerDied):
                await worker.call("die", sign="SIGKILL")
        with pytest.raises(WorkerUnavailable, match="3 times within a minute"):
            await worker.call("echo", value=1)
        clock.now = 61.0
        assert await worker.call("echo", value=1) == 1

    run(story, clock=clock)


def test_killing_a_child_on_purpose_is_no_crash() -> None:
    async def story(worker: Worker) -> None:
        for _ in range(4):
            assert await worker.call("echo", value=1) == 1
            await worker.kill()

    run(story)


def test_what_the_constructor_raises_reaches_the_caller() -> None:
    async def story(worker: Worker) -> None:
        with pytest.raises(NotFound, match="no such thing as 'this'"):
            await worker.call("echo", value=1)

    run(story, problem="refuse")


def test_a_child_that_dies_while_it_starts_is_named_with_its_signal() -> None:
    async def story(worker: Worker) -> None:
        for _ in range(3):
            with pytest.raises(WorkerDied, match="SIGSEGV"):
                await worker.call("echo", value=1)
        with pytest.raises(WorkerUnavailable):
            await worker.call("echo", value=1)

    run(story, problem="die")


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio\nfrom rag.workers import Worker\n"
        "async def main():\n"
        f"    worker = Worker({TARGET!r}, {{}}, name='odd')\n"
        "    print(await worker.call('pid'), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    assert gone(child)


def shared(lock: Path, problem: str = "") -> SharedWorker:
    return SharedWorker(TARGET, {"problem": problem}, name="odd", lock=lock, start_timeout_s=120)


def gone(pid: int) -> bool:
    """Whether a process ends within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # dead, and waiting for whoever inherited it
            return True
        time.sleep(0.02)
    return False


def test_two_processes_share_one_child(tmp_path: Path) -> None:
    lock = tmp_path / "index.lock"
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom rag.sharing import SharedWorker\n"
        "async def main():\n"
        f"    worker = SharedWorker({TARGET!r}, {{}}, name='odd', lock=Path(sys.argv[1]))\n"
        "    print(await worker.call('pid'), flush=True)\n"
        "    sys.stdin.readline()\n"
        "    await worker.stop()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(lock)]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    pids = {int(other.stdout.readline()) for other in others if other.stdout}
    for other in others:
        other.communicate(b"\n", timeout=60)
    assert len(pids) == 1
    assert gone(pids.pop())


def test_a_shared_child_outlives_the_one_who_started_it_and_ends_with_the_last(tmp_path: Path) -> None:
    async def story() -> None:
        first, second = shared(tmp_path / "lock"), shared(tmp_path / "lock")
        pid = await first.call("pid")
        assert await second.call("pid") == pid
        await first.stop()
        assert await second.call("pid") == pid
        await second.stop()
        assert await asyncio.to_thread(gone, pid)

    asyncio.run(story())


def test_a_shared_child_holds_no_output_of_the_one_who_started_it(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom rag.sharing import SharedWorker\n"
        "async def main():\n"
        f"    worker = SharedWorker({TARGET!r}, {{}}, name='odd', lock=Path(sys.argv[1]))\n"
        "    print(await worker.call('pid'), flush=True)\n"
        "    await worker.stop(linger=True)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "index.lock")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    # Its output ended before the child did: whoever reads it to the end has not waited for the child.
    pid = int(done.stdout)
    assert os.readlink(f"/proc/{pid}/fd/2") == os.readlink(f"/proc/{pid}/fd/1") == str(tmp_path / "index.log")
    assert gone(pid)


def test_a_shared_child_is_found_by_a_process_with_another_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        first, second = shared(tmp_path / "lock"), shared(tmp_path / "lock")
        pid = await first.call("pid")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert await second.call("pid") == pid
        await second.stop()
        await first.stop()

    asyncio.run(story())


def test_the_child_of_a_deleted_home_is_in_nobodys_way(tmp_path: Path) -> None:
    async def story() -> None:
        lock = tmp_path / "lock"
        old, new, last = shared(lock), shared(lock), shared(lock)
        gone_with_home = await old.call("pid")
        await old.stop(linger=True)
        lock.unlink()
        pid = await new.call("pid")
        assert pid != gone_with_home and await asyncio.to_thread(gone, gone_with_home)
        assert await last.call("pid") == pid
        await last.stop()
        await new.stop()

    asyncio.run(story())


def test_a_shared_child_that_was_killed_is_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        worker = shared(tmp_path / "lock")
        pid = await worker.call("pid")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await worker.call("wait", seconds=60)
        assert await worker.call("pid") != pid
        await worker.stop()

    asyncio.run(story())


def test_a_stale_lock_and_socket_are_no_obstacle(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    address = address_of(lock)
    lock.write_text(str(address))
    address.touch()

    async def story() -> None:
        worker = shared(lock)
        assert await worker.call("echo", value=1) == 1
        await worker.stop()

    asyncio.run(story())


def test_what_the_constructor_of_a_shared_service_raises_reaches_the_caller(tmp_path: Path) -> None:
    async def story() -> None:
        worker = shared(tmp_path / "lock", "refuse")
        with pytest.raises(NotFound, match="no such thing as 'this'"):
            await worker.call("echo", value=1)
        await worker.stop()

    asyncio.run(story())


def test_a_shared_child_that_cannot_start_is_given_up_after_three_tries(tmp_path: Path) -> None:
    async def story() -> None:
        worker = shared(tmp_path / "lock", "die")
        with pytest.raises(WorkerUnavailable, match="3 times within a minute"):
            await worker.call("echo", value=1)
        await worker.stop()

    asyncio.run(story())
