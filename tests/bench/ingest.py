"""How fast documents become searchable, and parse plus chunk against unstructured on the same files.

Run it as `python tests/bench/ingest.py [--files N]`, which bounds how many documents are taken, or with
`--only unchanged|memory|kills [--count N]` for what takes long, see endurance.py.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rag.silence import silence

silence()

from ingest.chunking import chunk  # noqa: E402
from ingest.jobs import Summary  # noqa: E402
from ingest.parsing.parser import parse  # noqa: E402
from ingest.pipeline import Pipeline  # noqa: E402
from rag.embedding.tokens import TokenCounter  # noqa: E402
from rag.errors import ParseError  # noqa: E402
from rag.models.lockfile import entry, locate  # noqa: E402
from rag.settings import Settings  # noqa: E402
from rag.store.catalog import Catalog  # noqa: E402
from rag.store.generations import Generations  # noqa: E402
from rag.store.indexes import IndexProcesses  # noqa: E402
from rag.types import Principal  # noqa: E402
from tests.bench.endurance import SUITES, rows_of  # noqa: E402
from tests.bench.report import Row, write  # noqa: E402

DEV_SET = Path(__file__).resolve().parents[3] / "shared/data/dev_set"
# Formats that unstructured reads without its own downloads and without a PDF extra.
SHARED_FORMATS = {".docx", ".pptx", ".html", ".md", ".eml", ".xlsx", ".csv", ".txt", ".odt", ".epub", ".rtf"}
PEER = """
import sys, time
from rag.silence import silence
silence()
from ingest.parsing import tokenization
tokenization.register()
from unstructured.partition.auto import partition
from unstructured.chunking.title import chunk_by_title
for path in sys.argv[1:2]:
    partition(filename=path)
started, chunks, failed = time.process_time(), 0, 0
for path in sys.argv[1:]:
    try:
        chunks += len(chunk_by_title(partition(filename=path), max_characters=1000))
    except Exception:
        failed += 1
print(time.process_time() - started, chunks, failed)
"""


async def ingest(paths: Sequence[Path], home: Path) -> Summary:
    """The whole pipeline over these files, with an index that already runs."""
    settings = Settings(home=home)
    catalog = Catalog(home)
    indexes = IndexProcesses(settings, Generations(catalog.database))
    try:
        await indexes.live.info()
        return await Pipeline(catalog, indexes, settings).run(paths, principal=Principal())
    finally:
        catalog.close()
        await indexes.stop()


def parse_and_chunk(paths: Sequence[Path]) -> tuple[float, int]:
    """CPU seconds and chunks of our parsers in one process."""
    measure = TokenCounter(locate(entry("all-minilm-l6-v2")))
    for path in paths[:1]:
        parse(path.read_bytes(), path.name)
    started, chunks = time.process_time(), 0
    for path in paths:
        try:
            _, document = parse(path.read_bytes(), path.name)
        except ParseError:
            continue
        chunks += len(chunk(document.blocks, measure.spans, budget=measure.budget))
    return time.process_time() - started, chunks


def unstructured(paths: Sequence[Path]) -> tuple[float, int]:
    """CPU seconds and chunks of partition and chunk_by_title in a process of their own."""
    command = [sys.executable, "-c", PEER, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    seconds, chunks, _ = done.stdout.split()[-3:]
    return float(seconds), int(chunks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, help="take no more documents than that")
    parser.add_argument("--only", choices=list(SUITES), help="measure this instead")
    parser.add_argument("--count", type=int, default=0, help="files, pages or kills; 0: as in the targets")
    options = parser.parse_args()
    if options.only:
        write(f"ingest-{options.only}", rows_of(options.only, options.count))
    else:
        write("ingest", pipeline_rows(options.files))


def pipeline_rows(most: int | None) -> list[Row]:
    """The whole pipeline and the parsers on files of the developer set, at most so many."""
    if not DEV_SET.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set)")
    files = sorted((DEV_SET / "documents/files").iterdir())
    files += sorted((DEV_SET / "qa/sec10q/pdf").glob("*.pdf"))[:2]
    files = files[:most]
    with tempfile.TemporaryDirectory() as home:
        summary = asyncio.run(ingest(files, Path(home)))
    shared = [path for path in files if path.suffix in SHARED_FORMATS]
    ours_s, ours_chunks = parse_and_chunk(shared)
    peer_s, peer_chunks = unstructured(shared)
    read = summary.published + len(summary.quarantined)
    return [
        Row("documents read, whole pipeline", read / summary.seconds, "documents/s"),
        Row("chunks made searchable, whole pipeline", summary.chunks / summary.seconds, "chunks/s"),
        Row("embedding", summary.tokens / max(summary.embed_s, 1e-9), "tokens/s"),
        Row("share of the time in which the embedder works", summary.embed_s / summary.seconds, "share"),
        Row("documents lost", len(files) + summary.parts - read, "documents", target=0, lower_is_better=True),
        Row(
            f"parse and chunk {len(shared)} office, web and text files",
            ours_s,
            "CPU s",
            peer="unstructured partition + chunk_by_title",
            peer_value=peer_s,
            lower_is_better=True,
        ),
        Row("chunks of those files", ours_chunks, "chunks", peer="unstructured", peer_value=peer_chunks),
    ]


if __name__ == "__main__":
    main()
