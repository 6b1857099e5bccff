"""The collections a caller may read from: what may stand in `model`, with what is in them."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from rag.api.state import Asker, Running
from rag.errors import NotFound
from rag.types import Document, DocumentState

router = APIRouter(prefix="/v1/collections")


class Collection(BaseModel):
    """Counts of the documents that the caller may read; languages (ISO 639-1) as far as they are known."""

    id: str
    object: Literal["collection"] = "collection"
    documents: int
    live: int
    chunks: int
    languages: dict[str, int]


class Collections(BaseModel):
    """All that the caller may read from. One comes to be with its first document."""

    object: Literal["list"] = "list"
    data: list[Collection]


@router.get("")
async def collections(system: Running, caller: Asker) -> Collections:
    """The collections, by name."""
    found = await asyncio.to_thread(system.catalog.documents, caller)
    shelves: dict[str, list[Document]] = defaultdict(list)
    for document in found:
        shelves[document.collection].append(document)
    return Collections(data=[counted(name, shelves[name]) for name in sorted(shelves)])


@router.get("/{name}")
async def collection(
    name: Annotated[str, Path(max_length=200)], system: Running, caller: Asker
) -> Collection:
    """One of them. Raises NotFound, also for one in which the caller may read nothing."""
    found = await asyncio.to_thread(system.catalog.documents, caller, collection=name)
    if not found:
        raise NotFound(f"no collection {name!r}")
    return counted(name, found)


def counted(name: str, documents: Sequence[Document]) -> Collection:
    """A collection as its documents make it."""
    return Collection(
        id=name,
        documents=len(documents),
        live=sum(each.state is DocumentState.LIVE for each in documents),
        chunks=sum(each.chunks for each in documents),
        languages=dict(Counter(each.language for each in documents if each.language)),
    )
