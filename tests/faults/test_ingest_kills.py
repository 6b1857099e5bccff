"""SIGKILL at every step of ingestion: the next run finishes, nothing is lost, doubled or half visible."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ingest.commands.show import state_of
from ingest.pipeline import Pipeline
from rag.settings import IngestSettings, Settings
from rag.store.catalog import Catalog
from rag.store.generations import Generations
from rag.store.indexes import IndexProcesses
from rag.store.jobs import Jobs
from rag.store.vectors import Vectors
from rag.types import DocumentState, Principal

STEPS = [
    "queue.enqueue",
    "queue.claim",
    "intake.take",
    "vectors.upsert",
    "vectors.settle",
    "catalog.publish",
    "vectors.delete",
    "catalog.forget",
]
WHEN = ("before", "after")
DOCUMENTS = 6
DEV_SET = Path(__file__).resolve().parents[3] / "shared/data/dev_set/documents/files"


def under_fire(home: Path, docs: Path, step: str, when: str) -> int:
    """Ingest in a process that kills itself before or after one step; its exit status."""
    code = f"""
import asyncio, inspect, os, signal
from pathlib import Path
from rag.silence import silence
silence()
from ingest.pipeline import Pipeline
from rag.store.catalog import Catalog
from rag.store.generations import Generations
from rag.store.indexes import IndexProcesses
from rag.types import Principal
from rag.settings import IngestSettings, Settings
from rag.store.intake import Intake

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    settings = Settings(home=Path({str(home)!r}), ingest=IngestSettings(parse_workers=1))
    catalog = Catalog(settings.home)
    indexes = IndexProcesses(settings, Generations(catalog.database))
    pipeline = Pipeline(catalog, indexes, settings)
    live = pipeline.generations.live({{}})
    owner = {{
        "queue": pipeline.queue,
        "catalog": catalog,
        "intake": Intake,  # each run makes its own
        "upkeep": pipeline.upkeep,
        "vectors": indexes.of(live),
    }}[{step.split(".")[0]!r}]
    if {step.startswith("vectors")!r}:
        indexes.of = lambda generation: owner
    name = {step.split(".")[1]!r}
    real = getattr(owner, name)
    if inspect.iscoroutinefunction(real):
        async def shot(*args, **kwargs):
            if {when!r} == "before":
                kill()
            await real(*args, **kwargs)
            kill()
    else:
        def shot(*args, **kwargs):
            if {when!r} == "before":
                kill()
            real(*args, **kwargs)
            kill()
    setattr(owner, name, shot)
    await pipeline.run([Path({str(docs)!r})], principal=Principal())

asyncio.run(main())
"""
    return subprocess.run([sys.executable, "-c", code], check=False, timeout=240).returncode


async def check(catalog: Catalog, vectors: Vectors, uris: set[str]) -> None:
    """Everything accepted is live or quarantined once, and index and catalog hold the same."""
    documents = catalog.documents(Principal())
    listed = [document.uri for document in documents if document.parent is None]
    assert set(listed) == uris
    assert len(listed) == len(uris)
    assert {document.state for document in documents} <= {DocumentState.LIVE, DocumentState.QUARANTINED}
    assert all(document.reason for document in documents if document.state is DocumentState.QUARANTINED)
    filled = {version: count for version, count in catalog.live_versions().items() if count}
    assert await vectors.versions() == filled
    assert catalog.hidden_versions() == []


@pytest.mark.parametrize(
    "shots",
    [
        [("vectors.upsert", "after"), ("catalog.publish", "before"), ("catalog.publish", "after")],
        pytest.param([(step, when) for step in STEPS for when in WHEN], marks=pytest.mark.slow),
    ],
    ids=["three steps", "every step"],
)
def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, shots: list[tuple[str, str]]) -> None:
    home, docs = tmp_path / "home", tmp_path / "docs"
    docs.mkdir()
    for number in range(DOCUMENTS):
        (docs / f"{number}.md").write_text(f"# Room {number}\n\nRoom {number} has {number + 3} chairs.\n")

    async def story() -> None:
        settings = Settings(home=home, ingest=IngestSettings(parse_workers=1))
        catalog = Catalog(home)
        indexes = IndexProcesses(settings, Generations(catalog.database))
        vectors = indexes.live
        await vectors.info()  # our connection keeps the index process alive between the kills
        try:
            for number, (step, when) in enumerate(shots):
                # Something changes each time, so that every step has work and old points to delete.
                (docs / f"{number % 3}.md").write_text(f"# Room\n\nThe room of round {number} is new.\n")
                code = await asyncio.to_thread(under_fire, home, docs, step, when)
                assert code in (0, -signal.SIGKILL), f"{step} {when}: {code}"
                assert live_points(home) <= set((await vectors.versions()).items()), f"{step} {when}"
            await Pipeline(catalog, indexes, settings).run([docs], principal=Principal())
            await check(catalog, vectors, {path.as_posix() for path in docs.iterdir()})
            assert catalog.counts()[DocumentState.LIVE] == DOCUMENTS
        finally:
            catalog.close()
            await indexes.stop()

    asyncio.run(story())


def live_points(home: Path) -> set[tuple[int, int]]:
    """Live versions with their chunk counts: no document is half visible if the index holds them all."""
    catalog = Catalog(home)
    live = set(catalog.live_versions().items())
    catalog.close()
    return live


@pytest.mark.slow
@pytest.mark.skipif(not DEV_SET.exists(), reason="the developer set is not beside this repository")
def test_the_developer_set_survives_three_kills_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(10_000)
    print(f"seed {seed}")
    moments = random.Random(seed)
    home = tmp_path / "home"
    command = [sys.executable, "-m", "rag.cli", "--home", str(home), "ingest", str(DEV_SET)]
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(5, 25))
        process.kill()
        process.wait()
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 3

    async def inspect() -> None:
        catalog = Catalog(home)
        indexes = IndexProcesses(Settings(home=home), Generations(catalog.database))
        try:
            await check(catalog, indexes.live, {path.as_posix() for path in DEV_SET.iterdir()})
        finally:
            catalog.close()
            await indexes.stop()

    asyncio.run(inspect())


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_says_that_the_next_run_goes_on_and_leaves_no_process(tmp_path: Path, times: int) -> None:
    """Also for somebody who presses it twice."""
    docs, home = tmp_path / "docs", tmp_path / "home"
    docs.mkdir()
    for number in range(600):
        (docs / f"{number}.txt").write_text(f"Room {number} has {number + 3} chairs.")
    command = [sys.executable, "-m", "rag.cli", "--home", str(home), "ingest", str(docs)]
    # Started by a background job, a child would inherit that Ctrl-C is ignored.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with closing(Catalog(home)) as catalog:
        wait_for(lambda: catalog.counts()[DocumentState.LIVE] > 0)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        _, said = process.communicate(timeout=120)
        assert catalog.counts()[DocumentState.PENDING] > 0, "nothing was given up"
        (job,) = Jobs(catalog.database).all(Principal())
        assert state_of(job) == "interrupted"
    if times == 1:
        assert process.returncode == 130
        assert "interrupted; what is published stays, the next run goes on" in said
    assert "Traceback" not in said
    wait_for(lambda: not processes_of(home))


def wait_for(true: Callable[[], bool], seconds: float = 90) -> None:
    """Until it is so. Raises AssertionError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes_of(home: Path) -> list[str]:
    """Command lines of living processes that name a home."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [line] if str(home) in line else []
    return found
