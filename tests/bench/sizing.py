"""What 1, 10 and 100 million documents take: machine-hours, disk, memory and money, from measured rates.

Run `python tests/bench/sizing.py` after `ingest.py` and `scale.py`: it reads what they wrote to out/. The
catalog, which nobody else measures, it measures itself; `--postgres URL` adds an empty Postgres database.

    core-hours = chunks * (parse CPU seconds per chunk + tokens per chunk / tokens per core-second) / 3600
    hours      = max(core-hours / cores, documents * catalog seconds per document / 3600)
    disk       = chunks * bytes per chunk, once in the catalog and once in the index

The catalog has one writer at a time, so its seconds are a floor that more machines do not lower.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sqlalchemy import text

from rag.cost.rates import rates_of as machine_rates
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.store.intake import Intake
from rag.store.queue import Listed, Queue, Shelf
from rag.store.versions import Description
from rag.types import Box, Chunk, Principal
from tests.bench.report import OUT, Row, write

MILLION = 1_000_000
SIZES = (1 * MILLION, 10 * MILLION, 100 * MILLION)
WORDS = "The supplier delivers the goods named in annex {number} within thirty days of the written order. "


@dataclass(frozen=True)
class Rates:
    """What was measured on this machine. Parsing and embedding in seconds of one core."""

    chunks_per_document: float
    tokens_per_chunk: float
    parse_s_per_chunk: float
    tokens_per_core_s: float
    catalog_s_per_document: float
    catalog_bytes_per_chunk: float
    index_bytes_per_chunk: float
    memory_bytes_per_chunk: float


@dataclass(frozen=True)
class Size:
    """What a number of documents takes. `floor_hours`: the catalog's own, however many machines work."""

    documents: int
    chunks: float
    core_hours: float
    floor_hours: float
    catalog_bytes: float
    index_bytes: float
    memory_bytes: float
    amount: float

    def hours(self, cores: int) -> float:
        """Wall clock on so many cores."""
        return max(self.core_hours / cores, self.floor_hours)


def size(documents: int, rates: Rates, core_hour: float) -> Size:
    """The formulae of the first lines of this file."""
    chunks = documents * rates.chunks_per_document
    seconds = chunks * (rates.parse_s_per_chunk + rates.tokens_per_chunk / rates.tokens_per_core_s)
    return Size(
        documents=documents,
        chunks=chunks,
        core_hours=seconds / 3600,
        floor_hours=documents * rates.catalog_s_per_document / 3600,
        catalog_bytes=chunks * rates.catalog_bytes_per_chunk,
        index_bytes=chunks * rates.index_bytes_per_chunk,
        memory_bytes=chunks * rates.memory_bytes_per_chunk,
        amount=seconds / 3600 * core_hour,
    )


def measure_catalog(documents: int, chunks: int, tokens: int, url: str) -> tuple[float, float]:
    """Seconds a document and bytes a chunk: every transaction of the pipeline, with nothing in between."""
    pieces = [piece(number, tokens) for number in range(chunks)]
    shelf = Shelf.of(Principal(), "default", ("everyone",), "1")
    about = Description(
        title="A contract", media_type="text/plain", pages=3, signature=bytes(256), keys=tuple(range(32))
    )

    def cut(version: int) -> list[Chunk]:
        return [Chunk(f"{version:08d}-{each.ordinal:027d}", **fields(each)) for each in pieces]

    with tempfile.TemporaryDirectory() as home:
        catalog = Catalog(Path(home), url)
        queue, intake = Queue(catalog.database), Intake(catalog.database)
        queue.enqueue([Listed(f"/{number}", "a", 9_000) for number in range(documents)], shelf)
        before = held(catalog, Path(home))
        started = time.perf_counter()
        while claim := queue.claim(lease_s=60):
            version = intake.take(claim, "a" * 64, about, cut, worker=queue.worker)
            assert version
            assert catalog.publish(claim.document_id, version)
        seconds = time.perf_counter() - started
        grown = held(catalog, Path(home)) - before
        catalog.close()
    return seconds / documents, grown / (documents * chunks)


def piece(number: int, tokens: int) -> Chunk:
    """A chunk of so many tokens, at 1.25 tokens a word."""
    words = (WORDS.format(number=number) * 40).split()[: round(tokens / 1.25)]
    box = Box(1, 72.0, 90.5, 523.3, 411.75)
    return Chunk("", number, " ".join(words), "text", ("Terms", "Delivery"), (1,), tokens, (box,), "en", None)


def fields(chunk: Chunk) -> dict[str, object]:
    return {name: getattr(chunk, name) for name in chunk.__slots__ if name != "id"}


def held(catalog: Catalog, home: Path) -> int:
    """Bytes of the database, its log written back."""
    catalog.database.wipe()
    if catalog.database.engine.dialect.name == "sqlite":
        return (home / "permafrost.db").stat().st_size
    with catalog.database.reading() as connection:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def found(suite: str, ending: str) -> float:
    """The first number of a suite whose name ends so."""
    path = OUT / f"{suite}.json"
    if not path.exists():
        sys.exit(f"{path} is not there: run tests/bench/{suite}.py first")
    rows = [row["ours"] for row in json.loads(path.read_text()) if row["measure"].endswith(ending)]
    if not rows:
        sys.exit(f"{path} holds no row that ends with {ending!r}")
    return float(rows[0])


def rates_of(options: argparse.Namespace, catalog: tuple[float, float]) -> Rates:
    """What the other suites found, and what was given by hand instead."""
    points = int(str(json.loads((OUT / "scale.json").read_text())[0]["measure"]).split()[0].replace(",", ""))
    read = found("ingest", "documents read, whole pipeline")
    return Rates(
        chunks_per_document=options.chunks
        or found("ingest", "chunks made searchable, whole pipeline") / read,
        tokens_per_chunk=options.tokens,
        parse_s_per_chunk=found("ingest", "web and text files") / found("ingest", "chunks of those files"),
        tokens_per_core_s=options.rate or found("ingest", "embedding") / options.cores_measured,
        catalog_s_per_document=catalog[0],
        catalog_bytes_per_chunk=catalog[1],
        index_bytes_per_chunk=found("scale", ": disk") * 1e9 / points,
        memory_bytes_per_chunk=found("scale", "memory of its own") * 1e9 / points,
    )


def table(sizes: Sequence[Size], cores: int, machines: Sequence[int], currency: str) -> str:
    """One line a number of documents, in Markdown."""
    wall = [f"hours on {count} x {cores} cores" for count in machines]
    head = ["documents", "chunks", "core-hours", *wall, "catalog alone, hours", "catalog", "index", "memory"]
    lines = [head, ["---:"] * (len(head) + 1)]
    head.append(currency)
    for each in sizes:
        hours = [f"{each.hours(count * cores):,.0f}" for count in machines]
        room = [f"{b / 1e9:,.0f} GB" for b in (each.catalog_bytes, each.index_bytes, each.memory_bytes)]
        counts = [f"{each.documents:,}", f"{each.chunks:,.0f}", f"{each.core_hours:,.0f}"]
        lines.append([*counts, *hours, f"{each.floor_hours:,.0f}", *room, f"{each.amount:,.0f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--postgres", default="", help="URL of an empty database to measure as well")
    parser.add_argument("--documents", type=int, default=300, help="put into each catalog")
    parser.add_argument("--chunks", type=float, default=0, help="a document; 0: as in ingest.json")
    parser.add_argument("--tokens", type=int, default=180, help="a chunk")
    parser.add_argument("--rate", type=float, default=0, help="tokens a second a core; 0: as in ingest.json")
    parser.add_argument("--cores-measured", type=int, default=2, help="of the machine of ingest.json")
    parser.add_argument("--cores", type=int, default=16, help="of one machine of the table")
    options = parser.parse_args()
    places = {"SQLite": ""} | ({"Postgres": options.postgres} if options.postgres else {})
    rows = []
    for name, url in places.items():
        catalog = measure_catalog(options.documents, 18, options.tokens, url)
        rows += [
            Row(f"{name}: a document through the catalog", catalog[0] * 1e3, "ms", lower_is_better=True),
            Row(f"{name}: a chunk in the catalog", catalog[1], "bytes", lower_is_better=True),
        ]
        rates, settings = rates_of(options, catalog), Settings()
        machine = machine_rates(settings.hardware, settings.cost)
        sizes = [size(documents, rates, machine.core_hour) for documents in SIZES]
        print(f"{name}: {rates}\n\n{table(sizes, options.cores, (1, 10, 100), machine.currency)}\n")
    write("sizing", rows)


if __name__ == "__main__":
    main()
