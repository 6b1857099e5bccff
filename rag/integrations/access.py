"""How an adapter reaches its knowledge: what it was handed, else a connection for each call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from rag.answering.events import Event
from rag.sdk.async_client import AsyncClient
from rag.sdk.client import Client
from rag.sdk.knowledge import Knowledge, Side
from rag.types import Answer, Passage


@dataclass(frozen=True, slots=True)
class Access:
    """An opened `Rag` or `Client`, an `AsyncClient`, or the address of a server.

    Adapters have no end at which they could close anything, so connections of an address last one call;
    hand in a client to keep them.
    """

    source: Knowledge | None = None
    async_source: AsyncClient | None = None
    base_url: str = ""
    api_key: str = field(default="", repr=False)

    @contextmanager
    def called(self) -> Iterator[Knowledge]:
        """What to call."""
        if self.source is not None:
            yield self.source
        else:
            with Client(self.base_url, self.api_key) as client:
                yield client

    @asynccontextmanager
    async def awaited(self) -> AsyncIterator[AsyncClient | InThread]:
        """What to await."""
        if self.async_source is not None:
            yield self.async_source
        elif self.source is not None:
            yield InThread(self.source)
        else:
            async with AsyncClient(self.base_url, self.api_key) as client:
                yield client


class InThread:
    """The verbs that adapters await, of something that can only be called."""

    def __init__(self, source: Knowledge) -> None:
        self._source = source

    async def search(self, query: str, **options: Any) -> list[Passage]:
        """Passages, best first."""
        return await asyncio.to_thread(self._source.search, query, **options)

    async def ask(self, question: str, **options: Any) -> Answer:
        """The whole answer."""
        return await asyncio.to_thread(self._source.ask, question, **options)

    async def stream(self, question: str, **options: Any) -> AsyncIterator[Event]:
        """Sources, then text as it is checked, then the whole answer."""
        with contextlib.closing(self._source.stream(question, **options)) as events:  # type: ignore[type-var]
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                yield event

    async def embed(self, texts: Sequence[str], *, side: Side = "document") -> list[list[float]]:
        """A vector of length one for each text."""
        return await asyncio.to_thread(self._source.embed, texts, side=side)
