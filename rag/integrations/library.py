"""What the tools of agents act on: a system here for one principal, or a server through `AsyncClient`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag.answering.events import Event, Final
from rag.errors import Forbidden, WorkerError
from rag.settings import Settings
from rag.types import Answer, Chunk, Document, Passage, Principal, Right

if TYPE_CHECKING:  # what answers need not be loaded to ask a server
    from rag.assembly import System


class Library(Protocol):
    """Documents that can be searched, asked and read by whoever it was opened for."""

    async def search(
        self, query: str, *, collection: str | None = None, limit: int | None = None
    ) -> list[Passage]:
        """Passages, best first."""
        ...

    async def ask(self, question: str, *, collection: str | None = None) -> Answer:
        """The whole answer."""
        ...

    async def document(self, document_id: str) -> Document:
        """One document. Raises NotFound."""
        ...

    async def chunks(self, document_id: str) -> list[Chunk]:
        """Its text, piece by piece. Raises NotFound."""
        ...

    async def collections(self) -> list[str]:
        """Names of the collections that hold a document that may be read."""
        ...


Watch = Callable[[AsyncIterator[Event]], AsyncIterator[Event]]


@dataclass(frozen=True, slots=True)
class OwnLibrary:
    """The system of this process as one principal sees it; `watch` sees the events of its answers pass."""

    system: System
    principal: Principal
    watch: Watch | None = None

    def __post_init__(self) -> None:
        """Raises Forbidden for who may not read."""
        if not self.principal.may(Right.ASK):
            raise Forbidden(f"this needs the right {Right.ASK.value!r}, which your key or role does not have")

    async def search(
        self, query: str, *, collection: str | None = None, limit: int | None = None
    ) -> list[Passage]:
        """Passages, best first. Raises UnknownModel for a collection that this reader does not have."""
        await self.system.check_collection(collection, self.principal)
        return await self.system.search(query, self.principal, collection=collection, limit=limit)

    async def ask(self, question: str, *, collection: str | None = None) -> Answer:
        """The whole answer. Raises UnknownModel for a collection that this reader does not have."""
        await self.system.check_collection(collection, self.principal)
        events = self.system.assistant.ask(question, self.principal, collection=collection)
        answer = None
        async with aclosing(self.watch(events) if self.watch else events) as told:  # type: ignore[type-var]
            async for event in told:  # to the end: what comes behind the answer is its accounting
                if isinstance(event, Final):
                    answer = event.answer
        if answer is None:
            raise WorkerError("the answer ended before it was whole; ask again")
        return answer

    async def document(self, document_id: str) -> Document:
        """One document. Raises NotFound, also for one that may not be read."""
        return await self.system.document(document_id, self.principal)

    async def chunks(self, document_id: str) -> list[Chunk]:
        """Its text, piece by piece. Raises NotFound, also for one that may not be read."""
        found = await self.document(document_id)
        return await asyncio.to_thread(self.system.catalog.chunks, found.version)

    async def collections(self) -> list[str]:
        """Names of the collections that hold a document that may be read."""
        return await self.system.collections(self.principal)


@asynccontextmanager
async def opened(settings: Settings, url: str, api_key: str) -> AsyncIterator[Library]:
    """The server at `url`; without one the home itself, for its owner."""
    if url:
        from rag.sdk.async_client import AsyncClient

        async with AsyncClient(url, api_key) as client:
            yield client
    else:
        from rag.assembly import open_system

        async with open_system(settings) as system:
            yield OwnLibrary(system, system.principal)
