"""Documents handed in, over HTTP and in this process: the same story, the same results."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.errors import BadRequest, NotFound
from rag.sdk import Client, Rag
from rag.sdk.knowledge import Knowledge
from rag.types import DocumentState, JobState

pytestmark = pytest.mark.model


def story(knowledge: Knowledge, folder: Path) -> list[Any]:
    """Hand in, ask, replace, delete; what came of it, without ids and times."""
    badge = folder / "badge.md"
    badge.write_text("# Badges\n\nVisitors of the north gate wear a violet badge.\n")
    first = knowledge.upload(badge, collection="gate", labels=["2026"])
    told = [first.uri, first.state, first.labels, first.language, knowledge.document(first.id) == first]
    told.append("violet" in knowledge.ask("What badge do visitors wear?", tier="extract").text)
    second = knowledge.upload(
        badge.read_bytes().replace(b"violet", b"orange"), name="badge.md", collection="gate"
    )
    told += [second.id == first.id, second.version > first.version]
    told.append("orange" in knowledge.search("badge", collection="gate")[0].chunk.text)
    noise = knowledge.upload(bytes(range(256)) * 40, name="noise.bin")
    told += [noise.state, noise.reason, [each.uri for each in knowledge.documents()]]
    job = knowledge.jobs()[0]
    told += [job.state, job.quarantined, knowledge.job(job.id) == job]
    receipt = knowledge.delete(second.id)
    told += [receipt.complete, receipt.left, [each.uri for each in receipt.documents]]
    for wrong, error in (
        (lambda: knowledge.document(second.id), NotFound),
        (lambda: knowledge.delete("nothing"), NotFound),
        (lambda: knowledge.job("job-x"), NotFound),
        (lambda: knowledge.upload(b"x"), BadRequest),
        (lambda: knowledge.upload(b"x", name="x.txt", groups=["board"]), BadRequest),
        (lambda: knowledge.upload(folder / "not there"), NotFound),
    ):
        with pytest.raises(error) as raised:
            wrong()
        told.append(str(raised.value).replace(second.id, "ID"))
    return told


@pytest.mark.slow
def test_both_ways_tell_the_same_story(tmp_path: Path, start_server: Callable[[Path], Any]) -> None:
    for name in ("served", "here"):
        (tmp_path / name).mkdir()
    served = start_server(tmp_path / "served")
    with Client(served.url) as client:
        over_http = story(client, tmp_path)
    served.end()
    with Rag.open(tmp_path / "here", engine={"context": 2048, "tune": False}) as rag:
        in_process = story(rag, tmp_path)
    assert over_http == in_process
    assert over_http[:6] == ["upload://gate/badge.md", DocumentState.LIVE, ("2026",), "en", True, True]
    assert over_http[8:10] == [True, DocumentState.QUARANTINED]
    assert JobState.DONE in over_http


@pytest.mark.slow
def test_what_a_killed_server_left_is_done_by_the_next_one(
    tmp_path: Path, start_server: Callable[[Path], Any]
) -> None:
    home = tmp_path / "kb"
    home.mkdir()
    served = start_server(home)
    with Client(served.url) as client:
        names = [f"{number}.txt" for number in range(8)]
        handed = [client.upload(f"Room {name} has a lamp.".encode(), name=name, wait=False) for name in names]
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    with Client(start_server(home).url) as client:
        deadline = time.monotonic() + 90
        while any(client.document(each.id).state is not DocumentState.LIVE for each in handed):
            assert time.monotonic() < deadline, client.jobs()
            time.sleep(0.2)
        while any(job.state is not JobState.DONE for job in client.jobs()):
            assert time.monotonic() < deadline, client.jobs()
            time.sleep(0.2)
        assert len(client.documents()) == len(handed)
        assert sum(job.progress["documents"] for job in client.jobs()) >= 1


@pytest.mark.slow
def test_a_signal_in_the_middle_of_the_work_ends_the_server_cleanly(
    tmp_path: Path,
    start_server: Callable[[Path], Any],
    family: Callable[[int], list[int]],
    gone: Callable[[list[int]], bool],
) -> None:
    home = tmp_path / "kb"
    home.mkdir()
    served = start_server(home)
    with Client(served.url) as client:
        client.ask("Is there anything?")  # children that are still starting take their time to end
        document = client.upload(b"A lamp.", name="lamp.txt", wait=False)
        with client._http.stream("GET", f"/v1/jobs/{client.jobs()[0].id}/events") as events:
            lines = events.iter_lines()
            assert next(lines) == "event: progress"
            pids = family(served.process.pid)
            started = time.monotonic()
            assert served.end() == 0
            assert time.monotonic() - started < 20, "a stream of events must not hold it"
    assert pids and gone(pids)
    with Rag.open(home) as rag:
        assert rag.document(document.id).state in (DocumentState.PENDING, DocumentState.LIVE)
