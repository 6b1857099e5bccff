"""Which of the ranked passages are worth their tokens: the same text twice is not."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rag.types import Passage

WORDS = re.compile(r"\w+")
SHINGLE_WORDS = 4
SAME_FROM = 0.8


def distinct(ranked: Iterable[Passage], *, limit: int) -> list[Passage]:
    """The best `limit` passages in their order, without near-duplicates of a better one.

    Texts that differ in a number are never duplicates, however alike: the old and the new version of a rule
    must both be seen.
    """
    kept: list[Passage] = []
    prints: list[Fingerprint] = []
    for passage in ranked:
        if len(kept) == limit:
            break
        print_ = Fingerprint(passage.chunk.text)
        if not any(print_.is_like(other) for other in prints):
            kept.append(passage)
            prints.append(print_)
    return kept


class Fingerprint:
    """What two texts are compared by: overlapping runs of words, and the numbers."""

    def __init__(self, text: str) -> None:
        words = WORDS.findall(text.casefold())
        self.numbers = {word for word in words if any(letter.isdigit() for letter in word)}
        last = max(1, len(words) - SHINGLE_WORDS + 1)
        self.shingles = {tuple(words[start : start + SHINGLE_WORDS]) for start in range(last)}

    def is_like(self, other: Fingerprint) -> bool:
        """Whether the Jaccard similarity of the word runs is that of the same text."""
        if self.numbers != other.numbers:
            return False
        shared = len(self.shingles & other.shingles)
        return shared >= SAME_FROM * (len(self.shingles) + len(other.shingles) - shared)
