"""The role of a reranker: a model that reads question and passage together. Off unless one is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.workers import Caller

RERANK_TIMEOUT_S = 10.0


class Reranker(Protocol):
    """How well each text answers a question."""

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One number in [0, 1] per text, in their order."""
        ...


class ChildReranker:
    """The reranker behind a caller, which reaches the process that owns it."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        found: list[float] = await self._caller.call(
            "scores", timeout_s=RERANK_TIMEOUT_S, question=question, texts=list(texts)
        )
        return found
