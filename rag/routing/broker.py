"""Several servers of one tier as one generator: the cheapest that will be in time, another if it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Generator, Sampling, Terms
from rag.engine.prompt import Piece
from rag.errors import ModelError, Overloaded, RagError, SettingsError, WorkerDied, WorkerError, WorkerTimeout
from rag.routing.tiers import Tier

FRESH = 0.3  # what the latest answer counts in the averages
HALF_LIFE_S = 60.0  # after which a measurement is half forgotten: a slow server gets another chance
LONGEST_REST_S = 60.0
# What another server may do better; a request that cannot be served is refused by all.
PASSED_ON = (WorkerError, Overloaded, SettingsError, ModelError)


class Server(Generator, Protocol):
    """A generator elsewhere that can be told how often to try before it gives up."""

    def stream(
        self,
        prompt: Sequence[Piece],
        sampling: Sampling,
        terms: Terms = SHARED_WITH_NOBODY,
        *,
        attempts: int = ...,
    ) -> AsyncIterator[Delta | Finished]:
        """As Generator.stream."""
        ...


@dataclass(slots=True)
class Endpoint:
    """One server: what a token costs there relative to the others, how many requests it takes at once, and
    how it did lately. Seconds are of a monotonic clock."""

    name: str
    generator: Server
    price: float = 0.0
    slots: int = 4
    active: int = 0
    first_s: float = 0.0
    tokens_per_s: float = 0.0
    measured_at: float = 0.0
    failures: int = 0
    rests_until: float = 0.0

    def expected_s(self, tokens: int, now: float, *, unknown_s: float) -> float:
        """Seconds to the last of so many tokens for a request that comes in now."""
        alone = unknown_s
        if self.tokens_per_s:
            alone = self.first_s + tokens / self.tokens_per_s
            alone *= 0.5 ** ((now - self.measured_at) / HALF_LIFE_S)
        rounds_before = self.active // self.slots
        return alone * (1 + rounds_before)

    def measure(self, first_s: float, tokens: int, decode_s: float, now: float) -> None:
        """Remember how an answer went."""
        rate = tokens / max(decode_s, 1e-3)
        known = self.tokens_per_s > 0
        self.first_s += (FRESH if known else 1.0) * (first_s - self.first_s)
        self.tokens_per_s += (FRESH if known else 1.0) * (rate - self.tokens_per_s)
        self.measured_at, self.failures, self.rests_until = now, 0, 0.0

    def rest(self, now: float) -> None:
        """Leave it alone for a while, longer after every failure."""
        self.failures += 1
        self.rests_until = now + min(LONGEST_REST_S, 2.0**self.failures)


class Broker:
    """A generator over endpoints. `deadline_s`: within which an answer shall be whole."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        deadline_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoints, self.deadline_s, self._clock = tuple(endpoints), deadline_s, clock

    @classmethod
    def of(cls, tier: Tier, servers: Sequence[Server]) -> Broker:
        """The servers of a tier, in the order of its `urls`."""
        prices = tier.url_prices or (0.0,) * len(tier.urls)
        endpoints = [
            Endpoint(url, server, price, tier.slots)
            for url, server, price in zip(tier.urls, servers, prices, strict=True)
        ]
        return cls(endpoints, deadline_s=tier.deadline_s)

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        """The answer of one endpoint; another is asked only while nothing was said yet."""
        order = self.order(sampling.max_tokens)
        for endpoint in order:
            is_last, begun = endpoint is order[-1], False
            answer = self._answer(endpoint, prompt, sampling, terms, patient=is_last)
            try:
                async with aclosing(answer):  # type: ignore[type-var]
                    async for event in answer:
                        begun = True
                        yield event
                return
            except PASSED_ON:
                if begun or is_last:
                    raise

    def order(self, tokens: int) -> list[Endpoint]:
        """The endpoints, first the one to ask for so many tokens: in time, then cheap, then quick. Those that
        failed lately come last."""
        now = self._clock()

        def rank(endpoint: Endpoint) -> tuple[bool, bool, float, float, float]:
            expected = endpoint.expected_s(tokens, now, unknown_s=self.deadline_s / 2)
            late = expected > self.deadline_s
            price = 0.0 if late else endpoint.price
            return endpoint.rests_until > now, late, price, expected, endpoint.active / endpoint.slots

        return sorted(self.endpoints, key=rank)

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        """Tell the endpoint that would be asked."""
        self.order(1)[0].generator.warm(prompt, terms)

    async def count(self, texts: Sequence[str]) -> list[int]:
        """As the first endpoint that answers counts."""
        order = self.order(1)
        for endpoint in order[:-1]:
            with suppress(*PASSED_ON):
                return await endpoint.generator.count(texts)
        return await order[-1].generator.count(texts)

    async def info(self) -> dict[str, Any]:
        """What the first endpoint that answers says, and how all of them do."""
        order, found = self.order(1), None
        for endpoint in order:
            try:
                found = await endpoint.generator.info()
                break
            except PASSED_ON:
                if endpoint is order[-1]:
                    raise
        now = self._clock()
        endpoints = [
            {
                "name": each.name,
                "active": each.active,
                "first_s": each.first_s,
                "tokens_per_s": each.tokens_per_s,
                "resting": each.rests_until > now,
            }
            for each in self.endpoints
        ]
        return {**(found or {}), "endpoints": endpoints}

    async def close(self) -> None:
        await asyncio.gather(*(each.generator.close() for each in self.endpoints))

    async def _answer(
        self,
        endpoint: Endpoint,
        prompt: Sequence[Piece],
        sampling: Sampling,
        terms: Terms,
        *,
        patient: bool,
    ) -> AsyncIterator[Delta | Finished]:
        """One endpoint's answer, measured. Unless `patient`, it is asked once, and its first token has to
        come by the deadline."""
        began, first_s = self._clock(), 0.0
        endpoint.active += 1
        asked = {} if patient else {"attempts": 1}
        events = endpoint.generator.stream(prompt, sampling, terms, **asked)
        try:
            async with aclosing(events):  # type: ignore[type-var]
                try:
                    async with asyncio.timeout(None if patient else self.deadline_s):
                        event = await anext(events, None)
                except TimeoutError:
                    raise WorkerTimeout(f"{endpoint.name} said nothing for {self.deadline_s:g} s") from None
                if event is None:
                    raise WorkerDied(f"{endpoint.name} ended without a word")
                first_s = self._clock() - began
                yield event
                async for event in events:
                    if isinstance(event, Finished):
                        now = self._clock()
                        tokens = event.usage.completion_tokens
                        endpoint.measure(first_s, tokens, now - began - first_s, now)
                    yield event
        except RagError as error:
            if isinstance(error, PASSED_ON):
                endpoint.rest(self._clock())
            raise
        finally:
            endpoint.active -= 1
