"""Finds the passages for a question: one trip to the index, fusion, live text from the catalog, no twins."""

from __future__ import annotations

import asyncio

from rag.retrieval.fusion import Fused, fuse, weigh
from rag.retrieval.packing import distinct
from rag.settings import RetrievalSettings
from rag.store.access import Access
from rag.store.catalog import Catalog, StoredChunk
from rag.store.vectors import Vectors
from rag.types import Passage, Principal

# Twins and what the catalog refuses at the last moment make room for the next best.
READ_AHEAD = 5


class Retriever:
    """Hybrid search over what a principal may read."""

    def __init__(self, vectors: Vectors, catalog: Catalog, settings: RetrievalSettings) -> None:
        self._vectors, self._catalog, self._settings = vectors, catalog, settings

    async def search(
        self, question: str, principal: Principal, *, collection: str | None = None, limit: int | None = None
    ) -> list[Passage]:
        """The best passages, best first. Raises IndexUnavailable or a WorkerError; never half a search."""
        limit = limit or self._settings.limit
        if not question.strip():
            return []
        hidden = await asyncio.to_thread(self._catalog.hidden_versions)
        access = Access.of(principal, collection=collection, hidden=hidden)
        depth = max(self._settings.leg_limit, limit)
        legs = await self._vectors.search(question, access=access, limit=depth)
        weight = weigh(question, self._settings.dense_weight).weight
        ranked = fuse(legs.dense, legs.sparse, weight=weight, limit=depth)[: READ_AHEAD * limit]
        live = await asyncio.to_thread(self._catalog.passages, [hit.id for hit in ranked], principal)
        return distinct((passage(hit, live[hit.id]) for hit in ranked if hit.id in live), limit=limit)


def passage(hit: Fused, stored: StoredChunk) -> Passage:
    """A hit with its text and its document."""
    return Passage(
        chunk=stored.chunk,
        document_id=stored.document.id,
        version=stored.document.version,
        title=stored.document.title,
        uri=stored.document.uri,
        score=hit.score,
        dense=hit.dense,
        sparse=hit.sparse,
    )
