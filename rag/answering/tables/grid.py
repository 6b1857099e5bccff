"""A table of a chunk as a grid: columns under heads, rows under sections, cells with their spans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.answering.sentences import RULE
from rag.answering.tables.figures import Figure, decimal_mark, figure, scale
from rag.answering.tables.periods import Period, only_period, periods

BAR = re.compile(r"(?<!\\)\|")
NOTE = re.compile(r"\s*\((?:\d{1,2}|[a-z])\)(?=\s|$)|(?<=[a-z)])\d$")
UNIT_LINE = re.compile(
    r"[\s(]*(?:[$€£]|in\b|amounts?\b|dollars?\b|thousand|million|billion|%|us\b|u\.s)", re.IGNORECASE
)
# A column of changes holds no time of its own, though its head names two.
DELTA = re.compile(
    r"\b(?:change|variation|variance|increase|decrease|growth)\b|\b(?:vs|versus|over|compared)\b|[△Δ]",
    re.IGNORECASE,
)
HEADER_ROWS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its words are text[start:end] of passage number `source`, `figure` its number if it is one."""

    text: str
    start: int
    end: int
    figure: Figure | None = None
    source: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A row or a column: what it is called, what it stands under, and which times these name."""

    label: str
    section: str = ""
    periods: tuple[Period, ...] = ()

    @property
    def name(self) -> str:
        return self.label or f"total {self.section}".strip()


@dataclass(frozen=True, slots=True)
class Grid:
    """`cells[r][c]` lies in `rows[r]` and `columns[c]`.

    `caption`: the text around the table; `scale`: thousand, million or billion, if its numbers are in them.
    `corner`: what stands above the names of the rows, such as Region. `topic`: the words right at the table,
    without the document's title. `year`: of all its figures, where only the text around it tells; else 0.
    `document`: its id; figures of two are never mixed. `rows` and `columns` of a turned grid are swapped.
    """

    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    cells: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    scale: str = ""
    corner: str = ""
    topic: str = ""
    year: int = 0
    document: str = ""
    turned: bool = False

    def turn(self) -> Grid:
        """The same cells with rows as columns."""
        return replace(
            self,
            rows=self.columns,
            columns=self.rows,
            cells=tuple(zip(*self.cells, strict=True)),
            turned=not self.turned,
        )


Raw = list[Cell]


def grids(
    text: str, *, heading: str = "", topic: str = "", language: str = "", source: int = 0
) -> list[Grid]:
    """The tables of a chunk, number `source` of several; `topic`: the last of its headings.

    Rows are `a | b | c`, with or without bars at the ends; a rule line may follow the first.
    """
    found: list[Grid] = []
    group: list[tuple[str, int]] = []
    position = end_of_prose = 0
    for line in (*text.splitlines(keepends=True), ""):
        bare = line.rstrip("\r\n")
        if BAR.search(bare):
            if not RULE.match(bare):
                group.append((bare, position))
        elif group:
            prose = text[end_of_prose : group[0][1]]
            topics = f"{topic} {prose.strip().rpartition(chr(10))[2]}"
            found += [
                dated(replace(each, topic=f"{topics} {each.topic}"), heading, prose)
                for each in built(raw(group, source), f"{heading}\n{prose}", language)
            ]
            group, end_of_prose = [], position
        position += len(line)
    return found


def raw(lines: Sequence[tuple[str, int]], source: int) -> list[Raw]:
    """The cells of rows that begin at these places. A bar in front is a frame where all rows have one."""
    boxed = all(line.lstrip().startswith("|") for line, _ in lines)
    return [[replace(cell, source=source) for cell in cells_of(line, at, boxed)] for line, at in lines]


def cells_of(line: str, offset: int, boxed: bool) -> Raw:
    """The cells of a row with their spans in the chunk."""
    cuts = [match.start() for match in BAR.finditer(line)]
    if boxed:
        bounds = list(zip(cuts, [*cuts[1:], len(line)], strict=True))
    else:
        bounds = list(zip([-1, *cuts], [*cuts, len(line)], strict=True))
    if boxed and line.rstrip().endswith("|") and len(bounds) > 1:
        bounds.pop()
    cells = []
    for left, right in bounds:
        inner = line[left + 1 : right]
        start = offset + left + 1 + len(inner) - len(inner.lstrip())
        cells.append(Cell(inner.strip(), start, start + len(inner.strip())))
    return cells


def built(group: Sequence[Raw], caption: str, language: str) -> list[Grid]:
    """The grids of one run of rows: a row of times inside the body begins a new one."""
    width = max(len(row) for row in group)
    rows = [[*row, *[replace(row[-1], text="", start=row[-1].end)] * (width - len(row))] for row in group]
    found: list[Grid] = []
    while len(rows) >= 2 and width >= 2:
        height = header_height(rows)
        stop = next((n for n in range(height + 1, len(rows)) if names_times(rows[n])), len(rows))
        if made := grid(rows[:height], rows[height:stop], caption, language):
            found.append(made)
        rows = rows[stop:]
    return found


def header_height(rows: Sequence[Raw]) -> int:
    """How many rows are the head: those of times, of units and of words above the first figure."""
    height = 0
    timed = False
    for row in rows[:HEADER_ROWS]:
        label, data = row[0].text, [cell.text for cell in row[1:] if cell.text]
        if any(figure(cell) and not only_period(cell) for cell in data):
            break
        named = names_times(row)
        unit_line = bool(UNIT_LINE.match(label)) or (height > 0 and label == rows[0][0].text)
        if height and label and not unit_line and not named and (timed or not data):
            break
        timed = timed or named or bool(data and height)
        height += 1
    return min(height, len(rows) - 1) or 1


def names_times(row: Raw) -> bool:
    """Whether a row names columns by times, so that it heads what follows."""
    data = [cell.text for cell in row[1:] if cell.text]
    times = [cell for cell in data if only_period(cell)]
    if not times or len(times) * 2 < len(data) or (len(data) == 1 and row[0].text):
        return False
    # 1,960 and 2,010 of something are no years: years follow each other, and no other figure stands beside.
    years = {int(cell) for cell in times if cell.isdecimal()}
    if len(years) and max(years) - min(years) > 2 * len(years):
        return False
    return not any(figure(cell) for cell in data if cell not in times)


def grid(head: Sequence[Raw], body: Sequence[Raw], caption: str, language: str) -> Grid | None:
    """One grid; None without a figure."""
    width = len(body[0]) if body else 0
    mark = decimal_mark((cell.text for row in body for cell in row[1:]), language)
    lines: list[Line] = []
    cells: list[tuple[Cell, ...]] = []
    section: list[str] = []
    heading_before = False
    for row in body:
        label = NOTE.sub("", row[0].text).strip()
        figures = tuple(replace(cell, figure=figure(cell.text, decimal=mark)) for cell in row[1:])
        said = [text for text in (label, *(cell.text for cell in figures)) if text]
        if len(said) == 1 and not any(cell.figure for cell in figures):
            section = [*section, said[0]] if heading_before else said
            heading_before = True
            continue
        heading_before = False
        under = " ".join(section)
        times = periods(label) or periods(under)
        lines.append(Line(label, under, tuple(times)))
        cells.append(figures)
        if label.lower().startswith("total") or not label:
            section = [] if not label else section
    if not any(cell.figure for row in cells for cell in row):
        return None
    tops = " ".join(cell.text for row in head for cell in row)
    return Grid(
        tuple(lines),
        columns_of(head, width),
        tuple(cells),
        f"{caption} {head[0][0].text}".strip(),
        scale(tops) or scale(caption),
        corner=head[-1][0].text,
        topic=" ".join(row[0].text for row in head),
    )


def dated(grid: Grid, heading: str, prose: str) -> Grid:
    """The grid with the one year that its heading, or else the text in front, names; if it names none."""
    lines = (*grid.rows, *grid.columns)
    told = [{each.year for each in periods(text) if each.year} for text in (heading, prose)]
    years = next((each for each in told if each), set())
    if len(years) != 1 or any(each.year for line in lines for each in line.periods):
        return grid
    (year,) = years
    whole = Period(year)

    def within(found: Sequence[Line]) -> tuple[Line, ...]:
        times = [tuple(each.joined(whole) or each for each in line.periods) for line in found]
        return tuple(replace(line, periods=own) for line, own in zip(found, times, strict=True))

    return replace(grid, rows=within(grid.rows), columns=within(grid.columns), year=year)


def columns_of(head: Sequence[Raw], width: int) -> tuple[Line, ...]:
    """The columns, each named by the cells above it; a wide cell names all that it spans."""
    spread = [spanned([cell.text for cell in row]) for row in head]
    corner = " ".join(row[0].text for row in head)
    found = []
    for column in range(1, width):
        parts = list(dict.fromkeys(row[column] for row in spread if row[column]))
        label = NOTE.sub("", " ".join(parts)).strip()
        times = [] if DELTA.search(label) else periods(label)
        if times and not any(each.month for each in times) and len(periods(corner)) == 1:
            # "At December 31:" in the corner belongs to each year.
            times = periods(f"{corner.strip(' :,')}, {label}")
        found.append(Line(label, "", tuple(times)))
    return tuple(found)


def spanned(cells: Sequence[str]) -> list[str]:
    """A row of heads with every blank filled: from its left, or from the nearest where heads are centred."""
    filled = [n for n, cell in enumerate(cells) if n and cell]
    if not filled or len(filled) == len(cells) - 1:
        return list(cells)
    if len(filled) == 1:
        return [cells[0], *[cells[filled[0]]] * (len(cells) - 1)]
    if filled[0] == 1:
        return [cells[0], *(cells[max(n for n in filled if n <= at)] for at in range(1, len(cells)))]
    return [cells[0], *(cells[min(filled, key=lambda n: abs(n - at))] for at in range(1, len(cells)))]
