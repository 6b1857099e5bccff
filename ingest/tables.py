"""Cuts a table that is longer than its room: between rows, and a long row between columns; headers repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from statistics import median_low

from ingest.cutting import cut, fits
from ingest.ruler import Ruler

BAR = " | "  # as ingest/parsing/blocks.py writes rows
BAR_TOKENS = 2  # one in the row and one in the header
HEADER_ROWS = 3
SAMPLE_ROWS = 50


def table_parts(rows: Sequence[str], ruler: Ruler, room: int, *, first: int | None = None) -> Iterator[str]:
    """Groups of rows in at most `room` tokens each (`first`: room of the first), under the header again.

    A row that has no room under the whole header is written in several parts, each under its own columns.
    """
    height = header_height(rows)
    names = rows[height - 1].split(BAR)
    header, body = (rows[:height], rows[height:]) if len(rows) > height else ((), rows)
    top, width = sum(map(ruler.count, header)), sum(map(len, header)) + len(header)
    repeats = fits(2 * top, 2 * width, room)
    group: list[str] = []
    size, length, left = top, width, room if first is None else first
    for row in body:
        tokens = ruler.count(row)
        if not fits(size + tokens, length + len(row), left):
            if group:
                yield "\n".join((*header, *group))
            group, size, length, left = [], top, width, room
        if repeats and fits(top + tokens, width + len(row), room):
            group.append(row)
            size, length = size + tokens, length + len(row) + 1
        else:
            yield from row_parts(names if header else (), row.split(BAR), ruler, room)
    if group:
        yield "\n".join((*header, *group))


def header_height(rows: Sequence[str]) -> int:
    """How many rows the header has: a title of one cell above the names of the columns belongs to it."""
    widths = [row.count(BAR) + 1 for row in rows[:SAMPLE_ROWS]]
    usual = median_low(widths)
    return next((n for n, width in enumerate(widths[:HEADER_ROWS], 1) if 2 * width > usual), 1)


def row_parts(names: Sequence[str], cells: Sequence[str], ruler: Ruler, room: int) -> Iterator[str]:
    """One row in several parts: some of its cells under their names, behind its first cell again."""
    columns = [
        (shortened(name, ruler, room // 4), cell)
        for name, cell in zip_longest(names, cells, fillvalue="")
        if cell
    ]
    key, rest = columns[:1], columns[1:]
    if not rest or not fits(weight(key[0], ruler), length(key[0]), room // 4):
        key, rest = [], columns
    room -= sum(weight(column, ruler) for column in key)
    space = 0
    part: list[tuple[str, str]] = []
    for column in narrowed(rest, ruler, room):
        tokens = weight(column, ruler)
        if part and not fits(space + tokens, sum(map(length, (*part, column))), room):
            yield written((*key, *part))
            part, space = [], 0
        part.append(column)
        space += tokens
    if part:
        yield written((*key, *part))


def narrowed(columns: Sequence[tuple[str, str]], ruler: Ruler, room: int) -> Iterator[tuple[str, str]]:
    """The columns, those with a long cell several times, each with a piece of it."""
    for name, cell in columns:
        limit = room - ruler.count(name) - BAR_TOKENS
        if fits(ruler.count(cell), len(cell) + len(name), max(1, limit)):
            yield name, cell
        else:
            for piece in cut(cell, ruler, max(1, limit)):
                yield name, " ".join(piece.split())


def shortened(name: str, ruler: Ruler, room: int) -> str:
    """The beginning of the name of a column that is longer than a name."""
    whole = fits(ruler.count(name), len(name), room)
    return name if whole else next(cut(name, ruler, max(1, room)), "")


def weight(column: tuple[str, str], ruler: Ruler) -> int:
    name, cell = column
    return ruler.count(name) + ruler.count(cell) + BAR_TOKENS


def length(column: tuple[str, str]) -> int:
    name, cell = column
    return len(name) + len(cell) + 2 * len(BAR)


def written(columns: Sequence[tuple[str, str]]) -> str:
    """Names above cells; only cells when no column has a name."""
    names, cells = zip(*columns, strict=True)
    return "\n".join(BAR.join(line) for line in (names, cells) if any(line))
