"""Forgets documents for good, and writes down what was looked at afterwards to be sure of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import func, select

from ingest.pipeline import Pipeline
from rag.store.catalog import Catalog
from rag.store.originals import Originals
from rag.store.queue import family
from rag.store.revocation import FOLDER, epoch
from rag.store.tables import bands, chunks, documents, versions


@dataclass(frozen=True, slots=True)
class Erased:
    """One document that was forgotten. `chunks`: rows of text it had; `original`: we kept its bytes."""

    id: str
    uri: str
    sha256: str
    versions: tuple[int, ...]
    chunks: int
    original: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was forgotten, and what a look afterwards found; all of `left` must be 0.

    The file at its source is not ours to delete, and neither are backups; `notes` says so.
    """

    at: str
    documents: tuple[Erased, ...]
    left: dict[str, int]
    kv_epoch: str
    notes: tuple[str, ...] = (
        "files at the source and backups are not touched",
        "the index overwrites vectors when it is optimised; it never held text",
    )

    @property
    def complete(self) -> bool:
        """Whether nothing is left."""
        return not any(self.left.values())

    def json(self) -> dict[str, object]:
        """As JSON values."""
        return {**asdict(self), "complete": self.complete}


async def erase(pipeline: Pipeline, document_ids: Sequence[str]) -> Receipt:
    """Forget documents with the parts in them; they stop answering before this returns."""
    catalog = pipeline.catalog
    erased = await asyncio.to_thread(inventory, catalog, document_ids)
    await pipeline.remove(document_ids)
    numbers = [number for each in erased for number in each.versions]
    points = 0
    for generation in await asyncio.to_thread(pipeline.generations.all):
        held = await pipeline.indexes.of(generation).versions()
        points += sum(held.get(number, 0) for number in numbers)
    left = {"points": points, **await asyncio.to_thread(remains, catalog, erased)}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Receipt(now, tuple(erased), left, epoch(catalog.home / FOLDER))


def inventory(catalog: Catalog, document_ids: Sequence[str]) -> list[Erased]:
    """What there is of these documents and the parts in them."""
    originals = Originals(catalog.home)
    found = []
    with catalog.database.reading() as connection:
        for document_id in [each for wanted in document_ids for each in family(connection, wanted)]:
            row = connection.execute(select(documents).where(documents.c.id == document_id)).first()
            if row is None:
                continue
            of_it = versions.c.document_id == document_id
            numbers = tuple(connection.execute(select(versions.c.version).where(of_it)).scalars())
            count = select(func.count()).select_from(chunks).where(chunks.c.version.in_(numbers))
            held = connection.execute(count).scalar_one()
            kept = bool(row.sha256) and originals.path(row.sha256).exists()
            found.append(Erased(document_id, row.uri, row.sha256, numbers, held, kept))
    return found


def remains(catalog: Catalog, erased: Sequence[Erased]) -> dict[str, int]:
    """What a look at the database and the kept bytes still finds. Bytes that another document has stay."""
    numbers = [number for each in erased for number in each.versions]
    ids = [each.id for each in erased]
    with catalog.database.reading() as connection:
        looked_at = {
            "documents": documents.c.id.in_(ids),
            "versions": versions.c.version.in_(numbers),
            "chunks": chunks.c.version.in_(numbers),
            "signatures": bands.c.version.in_(numbers),
        }
        left = {
            name: int(connection.execute(select(func.count()).where(condition)).scalar_one())
            for name, condition in looked_at.items()
        }
        shared = set(connection.execute(select(documents.c.sha256)).scalars())
    originals = Originals(catalog.home)
    digests = {each.sha256 for each in erased if each.original} - shared
    left["originals"] = sum(originals.path(digest).exists() for digest in digests)
    # Deleted rows are overwritten in the database file, but the log beside it still has the old pages.
    left |= catalog.database.wipe()
    return left
