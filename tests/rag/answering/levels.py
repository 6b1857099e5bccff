"""The index as far as choosing quotes needs it."""

from __future__ import annotations

from collections.abc import Sequence


class Levels:
    """Similarities that are the same for all, so that words and scores decide."""

    def __init__(self, level: float) -> None:
        self.level = level
        self.asked = 0

    async def similarity(
        self,
        left: Sequence[str],
        right: Sequence[str],
        *,
        side: str = "document",
        reader: str = "",
        epoch: str = "",
    ) -> list[list[float]]:
        self.asked += len(right)
        return [[self.level] * len(right) for _ in left]
