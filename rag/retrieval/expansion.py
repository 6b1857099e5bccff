"""Small to big: what stands beside a hit in the same section, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag.store.catalog import StoredChunk
from rag.types import Passage


def expanded(
    passages: Sequence[Passage], neighbours: Mapping[str, Sequence[StoredChunk]], *, budget_tokens: int
) -> list[Passage]:
    """The passages, each with its neighbours behind it; those of better hits take the budget first.

    A neighbour stays a passage of its own, so that a quote from it is cited where it stands. It has the score
    of its hit and no signals.
    """
    seen = {passage.chunk.id for passage in passages}
    grown: list[Passage] = []
    for passage in passages:
        grown.append(passage)
        for stored in neighbours.get(passage.chunk.id, ()):
            chunk = stored.chunk
            if chunk.id in seen or chunk.tokens > budget_tokens:
                continue
            seen.add(chunk.id)
            budget_tokens -= chunk.tokens
            grown.append(
                replace(passage, chunk=chunk, dense=None, sparse=None, signals=(), expands=passage.chunk.id)
            )
    return grown
