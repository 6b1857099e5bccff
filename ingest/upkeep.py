"""Keeps catalog and index in agreement: what one knows and the other does not is made good or deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from ingest.jobs import Restored, Tally
from rag.store.catalog import Catalog
from rag.store.database import batches
from rag.store.generations import Generation, Generations
from rag.store.indexes import Indexes
from rag.store.originals import Originals
from rag.store.queue import Queue
from rag.store.refill import put_back
from rag.store.revocation import revoke_kv
from rag.store.tables import documents, versions


class Upkeep:
    """Repairs after kills, and the deletions that follow from removed and replaced documents."""

    def __init__(self, catalog: Catalog, queue: Queue, indexes: Indexes) -> None:
        self._catalog, self._queue, self._indexes = catalog, queue, indexes
        self._generations = Generations(catalog.database)
        self._originals = Originals(catalog.home)

    async def reconcile(self, generation: Generation, tally: Tally) -> None:
        """Make catalog and index agree: unknown points go, lost ones are made again from the catalog's text.

        Documents of which the catalog lost text too are read again.
        """
        await asyncio.to_thread(self._queue.retire_orphans)
        if lost := await self.compare(generation):
            await self._restore(lost, generation, tally)
        await self.regroup(generation)
        await self.purge()
        await asyncio.to_thread(self._sweep_originals)

    async def compare(self, generation: Generation) -> dict[int, int]:
        """Delete the points of a generation's index that nobody knows; versions that lost some, with the
        number that they should have."""
        vectors = self._indexes.of(generation)
        # The index first: a version that appears there later was opened in the catalog before that.
        indexed = await vectors.versions()
        hidden = set(await asyncio.to_thread(self._catalog.hidden_versions))
        known = await asyncio.to_thread(self._catalog.complete_versions, generation.number)
        await vectors.delete([each for each in indexed if each not in hidden and each not in known])
        short = {version: count for version, count in known.items() if indexed.get(version, 0) != count}
        settled = {version: await vectors.settle(version) for version in short}
        return {version: count for version, count in short.items() if settled[version]["points"] != count}

    async def _restore(self, lost: Mapping[int, int], generation: Generation, tally: Tally) -> None:
        """Write lost points again; the documents of which that does not give all are queued."""
        vectors, total = self._indexes.of(generation), sum(lost.values())

        def wrote(chunks: int, took: Mapping[str, Any]) -> None:
            tally(Restored(chunks, total, took["tokens"], took["embed_s"], took["write_s"]))

        left = [
            version
            for version, count in lost.items()
            if await put_back(self._catalog, vectors, version, wrote) != count
        ]
        await asyncio.to_thread(self._queue.requeue, left)

    async def regroup(self, generation: Generation) -> None:
        """Bring the rights of documents, which already bind every reader, into the index."""
        rights = await asyncio.to_thread(self._queue.misgrouped, generation.number)
        if rights:
            await self._indexes.of(generation).regroup(rights)
            await asyncio.to_thread(self._queue.regrouped, rights)

    async def purge(self) -> None:
        """Delete what is left of replaced, removed and half-filled versions: points, KV, bytes we kept."""
        retired = await asyncio.to_thread(self._catalog.retired_versions)
        if not retired:
            return
        await asyncio.to_thread(revoke_kv, self._catalog.home)
        for generation in await asyncio.to_thread(self._generations.all):
            ours = await asyncio.to_thread(self._catalog.retired_versions, generation.number)
            if ours:
                await self._indexes.of(generation).delete(ours)
        digests = await asyncio.to_thread(self._catalog.digests, retired)
        await asyncio.to_thread(self._catalog.forget, retired)
        await asyncio.to_thread(self._drop_originals, digests)

    async def tidy(self, generation: Generation) -> None:
        """Let what is new be found through the graph of the index, if nobody is kept waiting by that."""
        await self._indexes.of(generation).tidy()

    async def drop(self, number: int) -> None:
        """Give up a generation that does not answer. Raises BadRequest for any other."""
        await asyncio.to_thread(self._generations.drop, number)
        await self.drop_dead()

    async def drop_dead(self) -> None:
        """Delete the indexes of generations that were given up."""
        for generation in await asyncio.to_thread(self._generations.dropped):
            await self._indexes.drop(generation)
        await self.purge()

    def _drop_originals(self, digests: Sequence[str]) -> None:
        # Under the write lock: who keeps bytes enters their row in one transaction with them.
        for some in batches(digests):
            with self._catalog.database.writing() as connection:
                for digest in set(some) - wanted(connection, some):
                    self._originals.drop(digest)

    def _sweep_originals(self) -> None:
        """Delete bytes that nobody refers to any more, once a day."""
        if self._originals.is_due():
            self._drop_originals(self._originals.old())


def wanted(connection: Connection, digests: Sequence[str]) -> set[str]:
    """Those of the digests that a document or a version refers to."""
    found: set[str] = set()
    for column in (versions.c.sha256, documents.c.sha256, documents.c.fingerprint):
        found |= set(connection.execute(select(column).where(column.in_(digests))).scalars())
    return found
