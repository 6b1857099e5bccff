"""What ingestion does in the long run: an unchanged folder once more, the parent's memory, and many kills.

Run through ingest.py: `python tests/bench/ingest.py --only unchanged|memory|kills [--count N]`. The embedder
is the real one; pages of `memory` hold few words, so that their number and not the embedder decides the time.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ingest.opening import open_pipeline
from ingest.pipeline import Pipeline
from rag.settings import IngestSettings, Settings
from rag.types import DocumentState, Principal
from tests.bench.pdf_writer import PdfPage, written
from tests.bench.report import ROOT, Row
from tests.faults.test_ingest_kills import STEPS, WHEN, under_fire

PAGES_PER_FILE = 250
SAMPLE_S = 0.5
DOCUMENTS = 12
LONGEST_LIFE_S = 20.0


def unchanged(files: int) -> list[Row]:
    """`rag ingest` on a folder of small files, twice: the second run finds nothing to do."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "docs"
        folder.mkdir()
        for number in range(files):
            path = folder / f"{number // 100:03d}" / f"{number}.md"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"# Room {number}\n\nRoom {number} has {number % 50 + 3} chairs.\n")
        time.sleep(3)  # files so fresh are looked at again
        first_s, first_cpu_s, _ = commanded(Path(place) / "home", folder)
        second_s, second_cpu_s, said = commanded(Path(place) / "home", folder)
    assert f"{files} unchanged" in said, said
    name = f"{files:,} files"
    return [
        Row(f"{name}, first run", first_s, "s", lower_is_better=True),
        Row(f"{name}, first run: CPU of command and parsers", first_cpu_s, "CPU s", lower_is_better=True),
        Row(f"{name}, unchanged", second_s, "s", target=5, lower_is_better=True),
        Row(f"{name}, unchanged: CPU of the command", second_cpu_s, "CPU s", target=5, lower_is_better=True),
    ]


def commanded(home: Path, folder: Path) -> tuple[float, float, str]:
    """Seconds and CPU seconds of one `rag ingest`, and what it said. The index process is not among them."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "rag.cli", "--home", str(home), "ingest", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, cpu_s, done.stdout + done.stderr


def memory(pages: int) -> list[Row]:
    """Resident memory of the process that runs the pipeline, over a few hundred files of many pages."""
    files = max(1, pages // PAGES_PER_FILE)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "docs"
        folder.mkdir()
        for number in range(files):
            (folder / f"{number}.pdf").write_bytes(paper(number))
        samples, published = asyncio.run(watched(Settings(home=Path(place) / "home"), folder))
    tenth = max(1, len(samples) // 10)
    first, last = sum(samples[:tenth]) / tenth, sum(samples[-tenth:]) / tenth
    name = f"parent over {published * PAGES_PER_FILE:,} pages"
    return [
        Row(f"{name}: most", max(samples), "MB", target=1000, lower_is_better=True),
        Row(f"{name}: first tenth of the time", first, "MB", lower_is_better=True),
        Row(f"{name}: last tenth of the time", last, "MB", lower_is_better=True),
        Row(f"{name}: growth", last / first, "times", target=1.05, lower_is_better=True),
    ]


def paper(number: int) -> bytes:
    """A PDF whose pages hold two lines each, unlike those of any other."""
    pages = []
    for page in range(PAGES_PER_FILE):
        leaf = PdfPage()
        leaf.text(72, 770, f"Section {number}.{page}", 14, "F2")
        leaf.text(
            72, 740, f"Valve {number * 977 + page} opens at {page % 90 + 10} bar and is checked weekly."
        )
        pages.append(leaf)
    return written(pages)


async def watched(settings: Settings, folder: Path) -> tuple[list[float], int]:
    """Samples of our resident memory in MB while a folder is fed, and how many documents were published."""
    samples: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_S):
            held = int(Path("/proc/self/statm").read_text().split()[1])
            samples.append(held * os.sysconf("SC_PAGE_SIZE") / 1e6)

    watcher = threading.Thread(target=look)
    async with open_pipeline(settings) as pipeline:
        watcher.start()
        try:
            summary = await pipeline.run([folder], principal=Principal())
        finally:
            over.set()
            watcher.join()
    return samples, summary.published


def kills(count: int, seed: int = 7) -> list[Row]:
    """So many runs, killed at named steps and random moments in turn; what is wrong after each is counted."""
    with tempfile.TemporaryDirectory() as place:
        home, docs = Path(place) / "home", Path(place) / "docs"
        docs.mkdir()
        found = asyncio.run(shot_at(home, docs, count, random.Random(seed)))
    died = found.pop("died")
    rows = [Row(f"SIGKILLs, of {count} runs", died, "kills")]
    rows += [
        Row(f"{count} kills: {name}", number, "found", target=0, lower_is_better=True)
        for name, number in found.items()
    ]
    return rows


async def shot_at(home: Path, docs: Path, count: int, moments: random.Random) -> dict[str, int]:
    """What is missing, doubled, orphaned or half visible after kills, each followed by the next run."""
    found = dict.fromkeys(("died", "missing", "duplicate", "orphan", "half visible"), 0)
    named = [(step, when) for step in STEPS for when in WHEN]
    settings = Settings(home=home, ingest=IngestSettings(parse_workers=1))
    async with open_pipeline(settings) as pipeline:
        vectors = pipeline.indexes.of(pipeline.generations.live({}))
        await vectors.info()  # keeps the index process alive between the kills
        for number in range(count):
            changed(docs, number, moments)
            if number % 2:
                step, when = named[number // 2 % len(named)]
                status = await asyncio.to_thread(under_fire, home, docs, step, when)
            else:
                status = await asyncio.to_thread(killed_after, home, docs, moments.uniform(0, LONGEST_LIFE_S))
            found["died"] += status == -signal.SIGKILL
            indexed = await vectors.versions()
            live = pipeline.catalog.live_versions()
            found["half visible"] += sum(indexed.get(each, 0) != held for each, held in live.items())
            if number % 10 == 9 or number == count - 1:
                await finished(pipeline, docs, found)
                print(f"{number + 1} runs: {found}", flush=True)
    return found


def changed(docs: Path, number: int, moments: random.Random) -> None:
    """One document is new or changed, another perhaps gone: every step of a run has something to do."""
    for _ in range(3):
        path = docs / f"{moments.randrange(DOCUMENTS)}.md"
        words = f"Room {number} has new chairs. " * moments.randrange(1, 200)
        path.write_text(f"# Round {number}\n\n{words}\n")
    if moments.random() < 0.5:
        (docs / f"{moments.randrange(DOCUMENTS)}.md").unlink(missing_ok=True)


def killed_after(home: Path, docs: Path, seconds: float) -> int:
    """The exit status of a run that is killed then, unless it is through before."""
    command = [sys.executable, "-m", "rag.cli", "--home", str(home), "ingest", str(docs)]
    environment = {**os.environ, "RAG_INGEST_PARSE_WORKERS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


async def finished(pipeline: Pipeline, docs: Path, found: dict[str, int]) -> None:
    """Let a run finish, and hold folder, catalog and index against each other."""
    await pipeline.run([docs], principal=Principal())
    documents = pipeline.catalog.documents(Principal())
    uris: Counter[str] = Counter(
        each.uri
        for each in documents
        if each.state is DocumentState.LIVE or (each.state is DocumentState.QUARANTINED and each.reason)
    )
    wanted = {path.as_posix() for path in docs.iterdir()}
    found["missing"] += len(wanted - set(uris))
    found["duplicate"] += sum(number - 1 for number in uris.values()) + len(set(uris) - wanted)
    live = {version: held for version, held in pipeline.catalog.live_versions().items() if held}
    indexed = await pipeline.indexes.of(pipeline.generations.live({})).versions()
    found["duplicate"] += sum(max(0, indexed[each] - held) for each, held in live.items() if each in indexed)
    found["missing"] += sum(max(0, held - indexed.get(each, 0)) for each, held in live.items())
    found["orphan"] += sum(held for each, held in indexed.items() if each not in live)
    found["orphan"] += len(pipeline.catalog.hidden_versions())


SUITES = {"unchanged": (unchanged, 10_000), "memory": (memory, 50_000), "kills": (kills, 300)}


def rows_of(name: str, count: int) -> Sequence[Row]:
    """The rows of one of them; `count` 0: as many files, pages or kills as the target speaks of."""
    measure, usual = SUITES[name]
    return measure(count or usual)
