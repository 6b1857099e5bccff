"""A generator whose timing is measured where it is asked: first token and the pace after it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Generator, Sampling, Terms
from rag.engine.prompt import Piece


class Listener(Protocol):
    """Who wants to know what a generator took."""

    def generated(self, finished: Finished, *, ttft_s: float) -> None:
        """A text is finished; its first token came after `ttft_s`."""
        ...


class MeteredGenerator:
    """Passes everything on to `inner` and tells the listener of each finished text."""

    def __init__(self, inner: Generator, listener: Listener) -> None:
        self.inner, self._listener = inner, listener

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        """The answer as it comes, then one Finished."""
        started, ttft_s = time.perf_counter(), 0.0
        async with aclosing(self.inner.stream(prompt, sampling, terms)) as events:  # type: ignore[type-var]
            async for event in events:
                ttft_s = ttft_s or time.perf_counter() - started
                if isinstance(event, Finished):
                    self._listener.generated(event, ttft_s=ttft_s)
                yield event

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        """A hint, passed on."""
        self.inner.warm(prompt, terms)

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return await self.inner.count(texts)

    async def info(self) -> dict[str, Any]:
        """What runs, and how busy it is."""
        return await self.inner.info()

    async def close(self) -> None:
        """End what was started."""
        await self.inner.close()
