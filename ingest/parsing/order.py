"""The order of a page's rows. The content stream's own order is kept unless it is visibly broken."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from ingest.parsing.words import Placed, Word, around

BROKEN = 0.2  # share of steps from row to row that go back up without going to the right
FEWEST = 5
GUTTER = 8.0  # points: the least white between two columns

P = TypeVar("P", bound=Placed)


def mended(rows: Sequence[Sequence[Word]]) -> list[Sequence[Word]]:
    """The rows; column by column from top to bottom if their order makes no sense."""
    edges = [around(row) for row in rows]
    back = sum(
        1
        for one, other in pairwise(edges)
        if other.bottom < one.top + 0.2 * one.height and other.left < one.right - 1
    )
    if back < FEWEST or back < BROKEN * len(rows):
        return list(rows)
    words = sorted((word for row in rows for word in row), key=lambda word: (word.top, word.left))
    found: list[Sequence[Word]] = []
    for column in columns(words):
        found += visual_rows(column)
    return found


def columns(words: Sequence[Word]) -> list[list[Word]]:
    """The words left and right of a white strip down the middle of the page, or all of them."""
    if len(words) < 2:
        return [list(words)]
    left, right = min(word.left for word in words), max(word.right for word in words)
    low, high = left + 0.3 * (right - left), left + 0.7 * (right - left)
    reach = left
    for word in sorted(words, key=lambda word: word.left):
        if word.left - reach >= GUTTER and low <= (word.left + reach) / 2 <= high:
            middle = (word.left + reach) / 2
            return [
                [each for each in words if each.right <= middle],
                [each for each in words if each.right > middle],
            ]
        reach = max(reach, word.right)
    return [list(words)]


def visual_rows(words: Sequence[P]) -> list[list[P]]:
    """Words, or letters, sorted by their top, as rows from left to right."""
    rows: list[list[P]] = []
    for word in words:
        middle = (word.top + word.bottom) / 2
        if rows and rows[-1][0].top <= middle <= rows[-1][0].bottom:
            rows[-1].append(word)
        else:
            rows.append([word])
    return [sorted(row, key=lambda word: word.left) for row in rows]
