"""What left the building for one answer: where to, how much of what, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOTHING = "nothing left this machine"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Every request that went out, failed ones included. `bytes`: of their bodies. `redactions`: places
    replaced, by kind.

    `at`: when the first byte left, seconds since 1970. `estimated`: the provider told no usage, the tokens
    are a guess. `amount` in `currency`, at prices last looked up on `price_as_of`.
    """

    destinations: tuple[str, ...]
    model: str
    bytes: int
    prompt_tokens: int
    completion_tokens: int
    collections: tuple[str, ...]
    labels: tuple[str, ...]
    redactions: Mapping[str, int]
    amount: float
    currency: str
    price_as_of: str
    at: float
    estimated: bool = False

    @property
    def words(self) -> str:
        """For the reader of an answer."""
        replaced = ", ".join(f"{count} {kind}" for kind, count in self.redactions.items()) or "nothing"
        labels = f", labelled {', '.join(self.labels)}" if self.labels else ""
        return (
            f"{self.bytes:,} bytes left to {', '.join(self.destinations)} ({self.model}), of collections "
            f"{', '.join(self.collections) or 'none'}{labels}; replaced before: {replaced}"
        )
