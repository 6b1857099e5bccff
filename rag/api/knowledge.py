"""What the documents hold, without a generated word: search and status."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter

import rag
from rag.api.state import Asker, Running
from rag.retrieval.filters import Filter
from rag.types import Right
from rag.wire import SearchReply, SearchRequest

router = APIRouter(prefix="/v1")


@router.post("/search")
async def search(body: SearchRequest, system: Running, caller: Asker) -> SearchReply:
    """Passages for a query, best first, with the score of each leg."""
    await system.check_collection(body.collection, caller)
    only = Filter.parse(body.filter) if body.filter else None
    passages = await system.search(
        body.query, caller, collection=body.collection, limit=body.limit, only=only
    )
    return SearchReply(passages=passages)


@router.get("/status")
async def status(system: Running, caller: Asker) -> dict[str, Any]:
    """Counts by state of the documents the caller may read. No configuration.

    `points`: of all tenants in the index, for operators; null for others.
    """
    counts, index = await asyncio.gather(
        asyncio.to_thread(system.catalog.counts, caller), system.vectors.info()
    )
    return {
        "version": rag.__version__,
        "documents": {state.value: number for state, number in counts.items()},
        "points": index.get("points") if caller.may(Right.OPERATE) else None,
        "embedder": index.get("model"),
        "model": system.model_name,
        "model_sha256": system.model_sha256,
    }
