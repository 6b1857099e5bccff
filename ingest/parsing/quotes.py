"""Where a quote stands on a page: its own characters are found again, and marked line by line.

A chunk's text is not the page's: lines were joined, cut words put together, hidden characters removed, cells
written as rows. So both are compared by the characters that such cleaning leaves alone.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import NamedTuple

from ingest.parsing.order import visual_rows
from ingest.parsing.words import Edges, Letter, around

CONTEXT = 80  # characters before and behind that tell one place of the same words from another
SHORTEST = 16  # characters: a shorter part of a quote may stand anywhere by chance
MOST_PLACES = 500  # of the same words that are compared
SLACK = 1.0  # points by which a letter may lie outside: boxes are stored rounded
WORD_GAP = 2.0  # heights of a line: a wider gap in it is not marked
LOOSE = 1.3  # how much larger than its letters the box around writing that runs downwards may be


class Quote(NamedTuple):
    """text[start:end] of a chunk; the rest of the text tells where else the same words are not meant."""

    text: str
    start: int
    end: int


class Key(NamedTuple):
    """The characters that are compared, and for each of them which letter it comes from."""

    text: str
    owners: list[int]


def marks(quote: Quote, pages: Mapping[int, Sequence[Letter]]) -> dict[int, list[Edges]]:
    """A rectangle for each printed line of a quote, by page; no page of which nothing is found.

    `pages`: the letters of the chunk on each of its pages, in the order of the content stream. Where a quote
    does not follow that order, rows from left to right and from top to bottom are tried.
    """
    best: list[tuple[int, Letter]] = []
    chunk = keyed(quote.text)
    start, end = (bisect_left(chunk.owners, place) for place in (quote.start, quote.end))
    for ordered in (list, as_seen):
        letters = [(page, letter) for page in sorted(pages) for letter in ordered(pages[page])]
        page = keyed(letter.text for _, letter in letters)
        found = [letters[place] for place in stretch(page, chunk.text, start, end)]
        if len(found) > len(best):
            best = found
    return {page: lines(letter for _, letter in part) for page, part in groupby(best, key=itemgetter(0))}


def within(letters: Iterable[Letter], area: Sequence[Edges]) -> list[Letter]:
    """The letters whose middle lies in one of these rectangles."""
    return [letter for letter in letters if any(holds(edges, letter) for edges in area)]


def holds(edges: Edges, letter: Letter) -> bool:
    """Whether the middle of a letter lies in a rectangle, or hardly outside."""
    x, y = (letter.left + letter.right) / 2, (letter.top + letter.bottom) / 2
    beside = edges.left - SLACK <= x <= edges.right + SLACK
    return beside and edges.top - SLACK <= y <= edges.bottom + SLACK


def as_seen(letters: Iterable[Letter]) -> list[Letter]:
    """Letters row by row as they stand on the page."""
    rows = visual_rows(sorted(letters, key=attrgetter("top")))
    return [letter for row in rows for letter in row]


def stretch(page: Key, chunk: str, start: int, end: int) -> list[int]:
    """Which of a page's letters are those of chunk[start:end], the key of the quote."""
    found: list[int] = []
    for first, last in runs(page.text, chunk, start, end):
        found += range(page.owners[first], page.owners[last - 1] + 1)
    return found


def keyed(texts: Iterable[str]) -> Key:
    """The key of a text given letter by letter."""
    pairs = [(each, number) for number, text in enumerate(texts) for each in compared(text)]
    return Key("".join(each for each, _ in pairs), [number for _, number in pairs])


@lru_cache(maxsize=4096)
def compared(letter: str) -> str:
    """What of a letter is compared: ligatures apart, no accents, no spaces, no hyphens, no bars of tables."""
    return "".join(
        each
        for each in unicodedata.normalize("NFKD", letter)
        if (kind := unicodedata.category(each))[0] in "LNPS" and kind != "Pd" and each != "|"
    )


def runs(page: str, chunk: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where chunk[start:end] stands in the page's text: whole, or the longest parts of it in their order."""
    least = max(1, min(SHORTEST, end - start))
    while start + least <= end:
        if chunk[start : start + least] not in page:
            start += 1
            continue
        length = longest(page, chunk[start:end])
        first = likeliest(page, chunk, start, start + length)
        yield first, first + length
        start += length


def longest(page: str, words: str) -> int:
    """How many characters of the words' beginning stand on the page in one run."""
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if words[:middle] in page else (low, middle - 1)
    return low


def likeliest(page: str, chunk: str, start: int, end: int) -> int:
    """Where on the page chunk[start:end] stands; of several places, the one with the chunk's words around."""
    before, behind = chunk[max(0, start - CONTEXT) : start][::-1], chunk[end : end + CONTEXT]

    def fit(place: int) -> int:
        after = place + end - start
        return shared(before, page[max(0, place - CONTEXT) : place][::-1]) + shared(
            behind, page[after : after + CONTEXT]
        )

    return max(islice(places(page, chunk[start:end]), MOST_PLACES), key=fit)


def places(page: str, words: str) -> Iterator[int]:
    """Where the words begin."""
    place = page.find(words)
    while place >= 0:
        yield place
        place = page.find(words, place + 1)


def shared(one: str, other: str) -> int:
    """How many characters two texts have in common from their beginning."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return number
    return min(len(one), len(other))


def lines(letters: Iterable[Letter]) -> list[Edges]:
    """Rectangles around letters that follow each other in a line, whichever way it runs."""
    found: list[Edges] = []
    for letter in letters:
        if not letter.text.strip():
            continue
        if found and goes_on(found[-1], letter):
            found[-1] = around((found[-1], letter))
        else:
            found.append(around((letter,)))
    return found


def goes_on(line: Edges, letter: Letter) -> bool:
    """Whether a letter belongs to the line before it."""
    height = min(line.height, letter.bottom - letter.top)
    level = min(line.bottom, letter.bottom) - max(line.top, letter.top) > 0.5 * height
    gap = max(letter.left - line.right, line.left - letter.right)
    whole = around((line, letter))
    parts = line.width * line.height + (letter.right - letter.left) * (letter.bottom - letter.top)
    return (level and gap < WORD_GAP * height) or whole.width * whole.height < LOOSE * parts
