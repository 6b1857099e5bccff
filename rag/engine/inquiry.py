"""The generator as one question uses it: what it computes is dated, and what was found beside is warmed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import takewhile
from typing import Any

from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Generator, Sampling, Terms
from rag.engine.prompt import Piece


class Inquiry:
    """A generator whose requests all carry the `epoch` before their passages were looked up (Terms.epoch)."""

    def __init__(self, generator: Generator, epoch: str | None) -> None:
        self.generator, self.epoch = generator, epoch
        self._asked: tuple[list[Piece], Terms] | None = None

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        terms = replace(terms, epoch=self.epoch)
        self._asked = list(takewhile(lambda piece: not piece.chunk, prompt)), terms
        events = self.generator.stream(prompt, sampling, terms)
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                yield event

    def expect(self, texts: Sequence[str]) -> None:
        """These passages may be told next, behind what stood before those of the last prompt."""
        if self._asked and texts:
            front, terms = self._asked
            self.warm([*front, *(Piece(text, False, chunk=True) for text in texts)], terms)

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        self.generator.warm(prompt, terms)

    async def count(self, texts: Sequence[str]) -> list[int]:
        return await self.generator.count(texts)

    async def info(self) -> dict[str, Any]:
        return await self.generator.info()

    async def close(self) -> None:
        """Nothing: the generator belongs to others."""
