"""An index made again from the chunks in the catalog, without a look at any document."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from rag.errors import IndexUnavailable
from rag.store.catalog import Catalog
from rag.store.generations import Generation
from rag.store.tables import documents, versions
from rag.store.vectors import CHUNKS_PER_CALL, Vectors, indexed
from rag.store.versions import COMPLETE


@dataclass(frozen=True, slots=True)
class Refilled:
    """What was put into the index, and the seconds that embedding and writing took."""

    versions: int
    chunks: int
    embed_s: float
    write_s: float


# Hears of every call to the index: the chunks it wrote, and what the index says of it.
Wrote = Callable[[int, Mapping[str, Any]], None]


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
    lost = {version: count for version, count in known.items() if held.get(version, 0) != count}
    total = sum(lost.values())
    done, embed_s, write_s = 0, 0.0, 0.0

    def wrote(chunks: int, took: Mapping[str, Any]) -> None:
        nonlocal done, embed_s, write_s
        done, embed_s, write_s = done + chunks, embed_s + took["embed_s"], write_s + took["write_s"]
        progress(done, total)

    for version, wanted in lost.items():
        if (count := await put_back(catalog, vectors, version, wrote)) != wanted:
            raise IndexUnavailable(
                f"the index holds {count} of the {wanted} chunks of version {version}; try it again"
            )
    return Refilled(len(lost), total, embed_s, write_s)


async def put_back(catalog: Catalog, vectors: Vectors, version: int, wrote: Wrote) -> int:
    """Write one version into the index; how many points it has there then. One that is gone has none."""
    marks = await asyncio.to_thread(marks_of, catalog, version)
    if marks is None:
        return 0
    last = -1
    while some := await asyncio.to_thread(catalog.chunks, version, after=last, limit=CHUNKS_PER_CALL):
        took = await vectors.upsert(version, chunks=[indexed(each) for each in some], **marks)
        wrote(len(some), took)
        last = some[-1].ordinal
    now = await asyncio.to_thread(marks_of, catalog, version)
    if now is None:
        # Removed or replaced meanwhile, and its points were deleted before we wrote these.
        await vectors.delete([version])
        return 0
    if now != marks:
        await vectors.regroup({version: (now["groups"], now["labels"])})
    points: int = (await vectors.settle(version))["points"]
    return points


def marks_of(catalog: Catalog, version: int) -> dict[str, Any] | None:
    """What the points of a version carry: whose it is, and who may read it. None: it is not complete."""
    query = (
        select(documents.c.tenant, documents.c.collection, versions.c.groups, versions.c.labels)
        .join(documents, documents.c.id == versions.c.document_id)
        .where(versions.c.version == version, versions.c.status.in_(COMPLETE))
    )
    with catalog.database.reading() as connection:
        found = connection.execute(query).first()
    return dict(found._mapping) if found else None
