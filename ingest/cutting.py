"""Cuts a text that is longer than its room where a reader would: between parts, sentences, words."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from ingest.parsing.blocks import BlockKind
from ingest.ruler import Ruler

# A word longer than a tokenizer cares to read counts as one token, however long it is.
CHARACTERS_PER_TOKEN = 10
SENTENCE_END = re.compile(r"[.!?…؟।][\"'”’)\]]*\s+|[。！？]|\n+")
LINE = re.compile(r"^([ \t]*)(?=\S)", re.MULTILINE)
ITEM_LEVELS = 3


def fits(tokens: int, characters: int, room: int) -> bool:
    """Whether a text of so many tokens and characters has room."""
    return tokens <= room and characters <= room * CHARACTERS_PER_TOKEN


def cut(
    text: str, ruler: Ruler, room: int, *, first: int | None = None, kind: BlockKind = "text"
) -> Iterator[str]:
    """Pieces of at most `room` tokens, the first one of at most `first`.

    Code is cut at blank lines, then at lines; lists at items, outer ones before inner ones; prose at sentence
    ends; all of them at spaces and inside words where nothing else is left.
    """
    starts, totals = ruler.scale(text)
    places = [list(found) for found in (*PLACES.get(kind, no_places)(text), ends(SENTENCE_END, text))]
    start, limit = 0, room if first is None else first
    while start < len(text):
        here = max(0, bisect_right(starts, start) - 1)
        after = bisect_right(totals, totals[here] + limit) - 1
        end = starts[after] if after < len(starts) else len(text)
        end = max(start + 1, min(end, start + limit * CHARACTERS_PER_TOKEN))
        if end < len(text):
            end = best_place(places, start, end) or after_space(text, start, end) or end
        piece = text[start:end].strip() if kind == "text" else text[start:end].strip("\n").rstrip()
        if piece.strip():
            yield from halved(piece, ruler.count, limit)
        start, limit = end, room


def best_place(places: Sequence[Sequence[int]], start: int, end: int) -> int | None:
    """The last place of the first kind that leaves the piece a third of its size."""
    for kind in places:
        if place := last_between(kind, start + (end - start) // 3, end):
            return place
    return None


def last_between(places: Sequence[int], low: int, high: int) -> int | None:
    """The largest place p with low < p <= high."""
    index = bisect_right(places, high) - 1
    return places[index] if index >= 0 and places[index] > low else None


def after_space(text: str, start: int, end: int) -> int:
    """The place behind the last white space of a piece; 0 if it has none."""
    return max(text.rfind(space, start, end) for space in " \n\t") + 1


def halved(piece: str, count: Callable[[str], int], room: int) -> Iterator[str]:
    """The piece, halved while it is too long: cut inside, a word can have more tokens than it had whole."""
    if len(piece) == 1 or fits(count(piece), len(piece), max(1, room)):
        yield piece
        return
    middle = len(piece) // 2
    for half in (piece[:middle].strip(), piece[middle:].strip()):
        if half:
            yield from halved(half, count, room)


def ends(pattern: re.Pattern[str], text: str) -> Iterator[int]:
    return (match.end() for match in pattern.finditer(text))


def no_places(_text: str) -> list[list[int]]:
    return []


def code_places(text: str) -> list[list[int]]:
    """After blank lines; at the start of lines."""
    lines = [match.start() for match in LINE.finditer(text)]
    above = ((place, text.rfind("\n", 0, max(0, place - 1)) + 1) for place in lines)
    return [[place for place, before in above if not text[before:place].strip()], lines]


def list_places(text: str) -> list[list[int]]:
    """At items of the outermost level; at those of the next ones too; at the start of lines."""
    lines = [(len(match[1].expandtabs(4)), match.start()) for match in LINE.finditer(text)]
    levels = sorted({indent for indent, _ in lines})[:ITEM_LEVELS]
    deepest = [*levels, max((indent for indent, _ in lines), default=0)]
    return [[place for indent, place in lines if indent <= level] for level in deepest]


PLACES: dict[BlockKind, Callable[[str], list[list[int]]]] = {"code": code_places, "list": list_places}


def last_sentence(text: str) -> int:
    """Where the last sentence of a text begins."""
    places = [place for place in ends(SENTENCE_END, text) if place < len(text)]
    return places[-1] if places else 0
