"""Generators whose timing is measured where they are asked: first token and the pace after it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any, Protocol

from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Generator, Sampling, Terms
from rag.engine.prompt import Piece
from rag.observability.tracing import span
from rag.routing.voices import Voice, Voices


class Listener(Protocol):
    """Who wants to know what a generator took."""

    def generated(self, tier: str, finished: Finished, *, ttft_s: float) -> None:
        """A text is finished; its first token came after `ttft_s`."""
        ...


def metered(voices: Voices, listener: Listener) -> Voices:
    """The same voices; the listener hears of each text that a generator of ours finishes."""

    def heard(tier: str, voice: Voice) -> Voice:
        if voice.generator is None:
            return voice
        return replace(voice, generator=MeteredGenerator(voice.generator, tier, listener))

    return replace(voices, of={tier: heard(tier, voice) for tier, voice in voices.of.items()})


class MeteredGenerator:
    """Passes everything on to `inner` and tells the listener of each finished text."""

    def __init__(self, inner: Generator, tier: str, listener: Listener) -> None:
        self.inner, self._tier, self._listener = inner, tier, listener

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        """The answer as it comes, then one Finished."""
        started, ttft_s = time.perf_counter(), 0.0
        with span("generate", apart=True, tier=self._tier) as spoken:
            async with aclosing(self.inner.stream(prompt, sampling, terms)) as events:  # type: ignore[type-var]
                async for event in events:
                    ttft_s = ttft_s or time.perf_counter() - started
                    if isinstance(event, Finished):
                        self._listener.generated(self._tier, event, ttft_s=ttft_s)
                        spoken.note(**asdict(event.usage))
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
