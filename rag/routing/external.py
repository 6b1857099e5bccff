"""The external tier: cleared by policy, redacted, priced, and receipted. Off until rag.toml declares one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from rag.cost.prices import Price
from rag.engine.completions import guess
from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Sampling, Terms
from rag.engine.prompt import Piece
from rag.errors import EgressDenied, PriceUnavailable, SettingsError
from rag.routing.broker import Broker
from rag.routing.chat_server import ROLES, ChatServer, Parcel
from rag.routing.egress import EgressPolicy, Material, Verdict
from rag.routing.personal_data import STRUCTURED, DataKind
from rag.routing.receipt import NOTHING, Receipt
from rag.routing.redaction import Redaction, Restorer, redact
from rag.routing.tiers import Tier
from rag.types import Principal, Usage

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ExternalTier:
    """The servers of others behind one tier. Nothing reaches them but through `clear`.

    `price` tells the price of a model today and raises PriceUnavailable when it is missing or stale. Prompts
    are to be rendered with `template`. Raises SettingsError for an address without encryption or with a key.
    """

    template = ROLES

    def __init__(self, tier: Tier, *, price: Callable[[str], Price]) -> None:
        for url in tier.urls:
            parts, where = urlsplit(url), f"tiers.{tier.name}.urls"
            if parts.username or parts.password:
                raise SettingsError(
                    f"{where}: a key in an address would be on every receipt; use api_key_env"
                )
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise SettingsError(f"{where}: {url!r} is not encrypted; use https://")
        self.tier, self.price = tier, price
        self.policy = EgressPolicy(tier.name, tier.egress)
        self.kinds = frozenset(DataKind) if tier.egress.redact == "all" else STRUCTURED
        servers = [ChatServer(each, model=tier.model, key=tier.key) for each in tier.addresses]
        self._broker = Broker.of(tier, servers)

    def why_closed(self, principal: Principal, materials: Iterable[Material]) -> Verdict:
        """Whether this reader's question may leave with these materials, and if not, why: policy or price.
        Sends nothing."""
        verdict = self.policy.may_leave(principal, materials)
        try:
            self.price(self.tier.price)
        except PriceUnavailable as error:
            return Verdict(False, str(error)) if verdict.allowed else verdict
        return verdict

    def clear(self, principal: Principal, materials: Iterable[Material]) -> Cleared:
        """A generator for one request. `materials`: where the passages come from, one for each of a prompt.

        Raises EgressDenied when one of them may not leave, PriceUnavailable when nobody knows the price.
        """
        materials = list(materials)
        verdict = self.policy.may_leave(principal, materials)
        verdict.enforce()
        price = self.price(self.tier.price)
        return Cleared(self._broker, self.tier, self.kinds, verdict, price, passages=len(materials))

    async def close(self) -> None:
        """Close the connections."""
        await self._broker.close()


class Cleared:
    """A generator for one request that may leave. Its receipt is true at any moment, also after a failure."""

    def __init__(
        self,
        broker: Broker,
        tier: Tier,
        kinds: frozenset[DataKind],
        verdict: Verdict,
        price: Price,
        *,
        passages: int,
    ) -> None:
        self._broker, self._tier, self._kinds = broker, tier, kinds
        self._verdict, self._price, self._passages = verdict, price, passages
        self._sent: list[tuple[Parcel, Redaction]] = []
        self._usage, self._estimated = Usage(), False

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        """The answer with everything put back that was replaced in the prompt.

        Raises EgressDenied for a prompt with more passages than were cleared.
        """
        if sum(piece.chunk for piece in prompt) > self._passages:
            raise EgressDenied(f"only {self._passages} passages were cleared for tier {self._tier.name!r}")
        # 10 ms per thousand words: too long for the loop on which others stream.
        parcel, redaction = await asyncio.to_thread(packed, prompt, self._kinds)
        self._sent.append((parcel, redaction))
        restorer, said, usage = Restorer(redaction), 0, None
        # Who asks is nobody's business there: no namespace and no user leave.
        events = self._broker.stream(parcel, sampling, Terms(replayable=terms.replayable))
        try:
            async with aclosing(events):  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Finished):
                        usage = event.usage
                        if rest := restorer.rest():
                            yield Delta(rest)
                        yield event
                    else:
                        said += guess(event.text)
                        if text := restorer.feed(event.text):
                            yield replace(event, text=text)
        finally:
            self._book(parcel, usage, said)

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        """Nothing: what may be asked does not leave."""

    async def count(self, texts: Sequence[str]) -> list[int]:
        """About how many tokens each text has; nothing is sent."""
        return await self._broker.count(texts)

    async def info(self) -> dict[str, Any]:
        """What is known without asking."""
        return await self._broker.info()

    async def close(self) -> None:
        """Nothing: the tier closes its connections."""

    @property
    def amount(self) -> float:
        """What was spent so far, in the currency of the price."""
        usage = self._usage
        return self._price.cost(
            usage.prompt_tokens, usage.completion_tokens, cached_tokens=usage.cached_tokens
        )

    @property
    def receipt(self) -> Receipt | None:
        """What left so far; None if nothing did."""
        dispatches = [dispatch for parcel, _ in self._sent for dispatch in parcel.dispatches]
        if not dispatches:
            return None
        redactions: dict[str, int] = {}
        for parcel, redaction in self._sent:
            for kind, number in redaction.counts.items() if parcel.dispatches else ():
                redactions[kind] = redactions.get(kind, 0) + number
        return Receipt(
            destinations=tuple(dict.fromkeys(dispatch.url for dispatch in dispatches)),
            model=self._tier.model,
            bytes=sum(dispatch.bytes for dispatch in dispatches),
            prompt_tokens=self._usage.prompt_tokens,
            completion_tokens=self._usage.completion_tokens,
            collections=self._verdict.collections,
            labels=self._verdict.labels,
            redactions=redactions,
            amount=self.amount,
            currency=self._price.currency,
            price_as_of=self._price.date.isoformat(),
            at=dispatches[0].at,
            estimated=self._estimated,
        )

    @property
    def egress(self) -> str:
        """The receipt in words."""
        return self.receipt.words if self.receipt else NOTHING

    def _book(self, parcel: Parcel, usage: Usage | None, said: int) -> None:
        """Add what a prompt took. One that broke off is charged as a guess for every time it was sent."""
        if usage is None:
            tokens = sum(guess(piece.text) for piece in parcel if not piece.control)
            usage, self._estimated = Usage(tokens * len(parcel.dispatches), said), True
        self._usage = Usage(
            self._usage.prompt_tokens + usage.prompt_tokens,
            self._usage.completion_tokens + usage.completion_tokens,
            self._usage.cached_tokens + usage.cached_tokens,
        )


def packed(prompt: Sequence[Piece], kinds: frozenset[DataKind]) -> tuple[Parcel, Redaction]:
    """The prompt with each turn's text redacted as a whole, so that what precedes a number is seen."""
    turns: list[list[str]] = []
    for piece in prompt:
        if piece.control:
            turns.append([piece.text, ""])
        else:
            turns[-1][1] += piece.text
    redaction = redact([text for _, text in turns], kinds)
    pieces: list[Piece] = []
    for (role, _), text in zip(turns, redaction.texts, strict=True):
        pieces += [Piece(role, True), *([Piece(text, False)] if text else [])]
    return Parcel(pieces), redaction
