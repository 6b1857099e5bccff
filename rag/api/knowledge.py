"""What the documents hold, without a generated word: search and status."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends

import rag
from rag.api.state import system_of
from rag.assembly import System
from rag.wire import SearchReply, SearchRequest

router = APIRouter(prefix="/v1")


@router.post("/search")
async def search(body: SearchRequest, system: Annotated[System, Depends(system_of)]) -> SearchReply:
    """Passages for a query, best first, with the score of each leg."""
    await system.check_collection(body.collection)
    passages = await system.retriever.search(
        body.query, system.principal, collection=body.collection, limit=body.limit
    )
    return SearchReply(passages=passages)


@router.get("/status")
async def status(system: Annotated[System, Depends(system_of)]) -> dict[str, Any]:
    """Counts of documents by state, and of points in the index. No configuration."""
    counts, index = await asyncio.gather(asyncio.to_thread(system.catalog.counts), system.vectors.info())
    return {
        "version": rag.__version__,
        "documents": {state.value: number for state, number in counts.items()},
        "points": index.get("points"),
        "embedder": index.get("model"),
        "model": system.model_name,
        "model_sha256": system.model_sha256,
    }
