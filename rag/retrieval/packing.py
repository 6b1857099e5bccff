"""Which of the ranked passages are worth their tokens: the same text twice is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from rag.types import Passage

WORDS = re.compile(r"\w+")
DIGIT = re.compile(r"\d")
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
        self._words = WORDS.findall(text.casefold())
        self.numbers = {word for word in set(self._words) if not word.isalpha() and DIGIT.search(word)}

    @cached_property
    def shingles(self) -> set[tuple[str, ...]]:
        """The runs of words; most texts differ in their numbers and need none."""
        words = self._words
        return set(zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False)) or {tuple(words)}

    def is_like(self, other: Fingerprint) -> bool:
        """Whether the Jaccard similarity of the word runs is that of the same text."""
        if self.numbers != other.numbers:
            return False
        shared = len(self.shingles & other.shingles)
        return shared >= SAME_FROM * (len(self.shingles) + len(other.shingles) - shared)
