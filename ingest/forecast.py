"""What a run will take before it starts: time, room and money, from what earlier runs here took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rag.cost.rates import Rates as MachineRates
from rag.store.jobs import Job

# Taken on 2 cores at 2.5 GHz from the developer set (`make bench SUITE=ingest`); used until a run here tells.
CHUNKS_PER_MEGABYTE = 300.0
SECONDS_PER_CHUNK = 1 / 20
BYTES_PER_CHUNK = 6_000
ENOUGH_CHUNKS = 200
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Rates:
    """How documents become chunks here. `basis` says where the figures come from."""

    chunks_per_megabyte: float
    seconds_per_chunk: float
    cores: float
    bytes_per_chunk: float
    basis: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """An estimate of a run: good to a factor of two where documents are like the earlier ones."""

    documents: int
    bytes: int
    chunks: int
    seconds: float
    disk_bytes: int
    amount: float
    currency: str
    basis: str

    def __str__(self) -> str:
        return (
            f"{self.documents} documents, {megabytes(self.bytes)}: about {self.chunks} chunks, "
            f"{duration(self.seconds)}, {megabytes(self.disk_bytes)} of disk, "
            f"{self.amount:.4f} {self.currency} ({self.basis})"
        )


def rates(jobs: Iterable[Job], home: Path, chunks: int) -> Rates:
    """What the finished work of these runs tells; `chunks`: how many the home holds now."""
    worked = [job.progress for job in jobs if job.progress.get("chunks") and job.progress.get("bytes")]
    made = sum(each["chunks"] for each in worked)
    room = used(home) / chunks if chunks >= ENOUGH_CHUNKS else BYTES_PER_CHUNK
    if made < ENOUGH_CHUNKS:
        typical = "typical figures; the first run here will measure its own"
        return Rates(CHUNKS_PER_MEGABYTE, SECONDS_PER_CHUNK, 2.0, room, typical)
    size = sum(each["bytes"] for each in worked)
    seconds = sum(each["seconds"] for each in worked)
    busy = sum(each["cpu_s"] + each["stages"]["embed"] * 2 for each in worked)
    return Rates(
        chunks_per_megabyte=made / size * MEGABYTE,
        seconds_per_chunk=seconds / made,
        cores=max(1.0, busy / seconds),
        bytes_per_chunk=room,
        basis=f"measured over {made} chunks of earlier runs here",
    )


def forecast(documents: int, size: int, rates: Rates, machine: MachineRates) -> Forecast:
    """What indexing so many documents of so many bytes will take."""
    chunks = max(documents, round(size / MEGABYTE * rates.chunks_per_megabyte)) if documents else 0
    return of_chunks(documents, size, chunks, rates, machine)


def of_chunks(documents: int, size: int, chunks: int, rates: Rates, machine: MachineRates) -> Forecast:
    """The same when the number of chunks is known."""
    seconds = chunks * rates.seconds_per_chunk
    return Forecast(
        documents=documents,
        bytes=size,
        chunks=chunks,
        seconds=seconds,
        disk_bytes=round(chunks * rates.bytes_per_chunk),
        amount=seconds * rates.cores / 3600 * machine.core_hour,
        currency=machine.currency,
        basis=rates.basis,
    )


def used(home: Path) -> int:
    """Bytes that index and database take on disk."""
    files = [*home.glob("permafrost.db*"), *(home / "index").rglob("*")]
    # What is preallocated and never written takes no room.
    return sum(about.st_blocks * 512 for file in files if (about := file.stat()) and file.is_file())


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def megabytes(size: float) -> str:
    """Bytes as people say them."""
    for limit, unit in ((1e6, "kB"), (1e9, "MB")):
        if size < limit:
            return f"{size / limit * 1e3:.1f} {unit}"
    return f"{size / 1e9:.1f} GB"
