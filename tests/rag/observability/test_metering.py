from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Generator, Sampling, Terms
from rag.engine.prompt import Piece
from rag.observability.metering import MeteredGenerator
from rag.types import Usage

END = Finished("stop", Usage(20, 3), prefill_s=0.1, decode_s=0.2, cpu_s=0.3)


class Slow:
    """A generator that says two words, each after a while."""

    left_early = False

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        try:
            for word in ("28 ", "days"):
                await asyncio.sleep(0.03)
                yield Delta(word)
            yield END
        except GeneratorExit:
            self.left_early = True
            raise

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None: ...

    async def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def info(self) -> dict[str, Any]:
        return {"name": "slow"}

    async def close(self) -> None: ...


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Finished, float]] = []

    def generated(self, tier: str, finished: Finished, *, ttft_s: float) -> None:
        self.heard.append((tier, finished, ttft_s))


def test_a_text_passes_unchanged_and_its_timing_is_told() -> None:
    ear, inner = Ear(), Slow()
    generator: Generator = MeteredGenerator(inner, "small", ear)

    async def collect() -> list[tuple[Delta | Finished, float]]:
        began = time.perf_counter()
        return [(event, time.perf_counter() - began) async for event in generator.stream([], Sampling())]

    events, arrivals_s = zip(*asyncio.run(collect()), strict=True)
    assert events == (Delta("28 "), Delta("days"), END)
    ((tier, finished, ttft_s),) = ear.heard
    assert (tier, finished) == ("small", END)
    assert 0.03 <= ttft_s <= arrivals_s[0]
    assert asyncio.run(generator.count(["28 days"])) == [2]
    assert asyncio.run(generator.info()) == {"name": "slow"}


def test_a_text_that_is_left_early_is_stopped_and_not_counted() -> None:
    ear, inner = Ear(), Slow()

    async def leave() -> None:
        events: Any = MeteredGenerator(inner, "small", ear).stream([], Sampling())
        await anext(events)
        await events.aclose()

    asyncio.run(leave())
    assert inner.left_early and ear.heard == []
