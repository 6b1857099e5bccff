"""An index made again from the chunks in the catalog, without a look at any document."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from rag.errors import IndexUnavailable
from rag.store.catalog import Catalog
from rag.store.generations import Generation
from rag.store.tables import documents, versions
from rag.store.vectors import CHUNKS_PER_CALL, Vectors, indexed


@dataclass(frozen=True, slots=True)
class Refilled:
    """What was put into the index, and the seconds that embedding and writing took."""

    versions: int
    chunks: int
    embed_s: float
    write_s: float


async def refill(
    catalog: Catalog,
    vectors: Vectors,
    generation: Generation,
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Refilled:
    """Write every complete version that the index of a generation lacks. What it has is left as it is.

    `progress` hears chunks done and chunks in all. Raises IndexUnavailable when the index does not hold them
    afterwards.
    """
    held = await vectors.versions()
    known = await asyncio.to_thread(catalog.complete_versions, generation.number)
    short = [version for version, count in known.items() if held.get(version, 0) != count]
    total = sum(known[version] for version in short)
    done, embed_s, write_s = 0, 0.0, 0.0
    for version in short:
        marks = await asyncio.to_thread(marks_of, catalog, version)
        last = -1
        while some := await asyncio.to_thread(catalog.chunks, version, after=last, limit=CHUNKS_PER_CALL):
            took = await vectors.upsert(version, chunks=[indexed(each) for each in some], **marks)
            done, last = done + len(some), some[-1].ordinal
            embed_s, write_s = embed_s + took["embed_s"], write_s + took["write_s"]
            progress(done, total)
        if (count := await vectors.settle(version)) != known[version]:
            raise IndexUnavailable(
                f"the index holds {count} of the {known[version]} chunks of version {version}; try it again"
            )
    return Refilled(len(short), total, embed_s, write_s)


def marks_of(catalog: Catalog, version: int) -> dict[str, Any]:
    """What the points of a version carry: whose it is, and who may read it."""
    query = (
        select(documents.c.tenant, documents.c.collection, versions.c.groups, versions.c.labels)
        .join(documents, documents.c.id == versions.c.document_id)
        .where(versions.c.version == version)
    )
    with catalog.database.reading() as connection:
        return dict(connection.execute(query).one()._mapping)
