"""The rows and the column of a table that a question over all rows is about; None where that is not sure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rag.answering.tables.grid import Grid
from rag.answering.tables.locating import Place
from rag.answering.tables.periods import Period, only_period
from rag.answering.tables.synonyms import says, synonymous
from rag.answering.tables.totals import body
from rag.answering.tables.wholes import PRICE, SPANS, SUMMARY, Whole, roots

CLOSE_WORDS = 1.0  # what a word counts that stands at the table
SAME_LETTERS = 4  # that two forms of a word begin with, at least
FAR_WORDS = 0.8  # and one of the document's title or of the text in front


@dataclass(frozen=True, slots=True)
class Survey:
    """The rows of a grid that a question is about, one column of figures, and how well the words fit."""

    grid: Grid
    rows: tuple[int, ...]
    column: int
    score: float
    label: int | None = None  # the column of words that names the rows instead of their labels

    @property
    def places(self) -> list[Place]:
        found = []
        for n in self.rows:
            row = self.grid.rows[n]
            if self.label is not None:
                row = replace(row, label=self.grid.cells[n][self.label].text)
            found.append(
                Place(self.grid.cells[n][self.column], row, self.grid.columns[self.column], self.score)
            )
        return found


def surveyed(grid: Grid, ask: Whole) -> Survey | None:
    """The rows and the column that a question means; every word of it must be accounted for."""
    rows = body(grid, ask.wanted)
    label = None
    if not fits_kind(grid, rows, ask):
        label = naming_column(grid, rows, ask)
        if label is None:
            return None
    rows = at_times(grid, rows, ask)
    if not rows:
        return None
    column = column_for(grid, rows, ask)
    if column is None:
        return None
    chosen = roots(grid.columns[column].label)
    rest, score = unaccounted(grid, ask, chosen)
    if ask.priced or PRICE.search(grid.columns[column].label):
        rest = frozenset(word for word in rest if not PRICE.search(word))
    if not ask.wanted and not ask.limit and not (ask.priced and ask.kind):
        return None  # of what, nobody said
    kept = having(grid, rows, rest) if rest else rows
    periods = [grid.rows[n].periods for n in kept]
    if not kept or any(grid.cells[n][column].figure is None for n in kept):
        return None
    if any(periods) and len(set(periods)) < len(periods):
        return None  # plan and actual of one year: not said which
    return Survey(grid, tuple(kept), column, score, label)


def fits_kind(grid: Grid, rows: Sequence[int], ask: Whole) -> bool:
    """Whether the rows are of one kind, and of the kind asked for."""
    spans = {span_of(period) for n in rows for period in grid.rows[n].periods}
    timed = len(spans) == 1 and all(grid.rows[n].periods for n in rows)
    if ask.span:
        return timed and spans == {ask.span}
    if grid.turned or not grid.corner:
        return timed and not ask.kind
    if not ask.kind:
        return True
    corner = roots(grid.corner)
    return bool(shared(ask.kind, corner) | synonymous(ask.kind[:1], corner))


def span_of(period: Period) -> str:
    """The smallest part of a time that is written."""
    parts = zip(("day", "month", "quarter", "year"), period.parts[::-1], strict=True)
    return next(name for name, part in parts if part)


def naming_column(grid: Grid, rows: Sequence[int], ask: Whole) -> int | None:
    """The column of words that a question chooses from, as "which driver", if it tells all rows apart."""
    if grid.turned or not ask.kind or ask.span:
        return None
    for n, column in enumerate(grid.columns):
        names = [grid.cells[row][n].text for row in rows]
        if shared(ask.kind, roots(column.label)) and not any(grid.cells[row][n].figure for row in rows):
            return n if all(names) and len(set(names)) == len(names) else None
    return None


def at_times(grid: Grid, rows: Sequence[int], ask: Whole) -> list[int]:
    """The rows at the times asked for, where rows are times; else all."""
    if not ask.periods or not all(grid.rows[n].periods for n in rows):
        return list(rows)
    if ask.ranged and len(ask.periods) == 2:
        low, high = sorted(ask.periods)
        if not all(
            any(end.agrees(time) for n in rows for time in grid.rows[n].periods) for end in (low, high)
        ):
            return []
        return [n for n in rows if between(low, grid.rows[n].periods[0], high)]
    kept = [
        [n for n in rows if any(each.agrees(time) for time in grid.rows[n].periods)] for each in ask.periods
    ]
    return sorted({n for found in kept for n in found}) if all(kept) else []


def between(low: Period, time: Period, high: Period) -> bool:
    """Whether a time lies in a range whose ends may leave the year open."""
    cuts = [
        tuple(part for part, told in zip(time.parts, end.parts, strict=True) if told) for end in (low, high)
    ]
    ends = [tuple(part for part in end.parts if part) for end in (low, high)]
    return ends[0] <= cuts[0] and cuts[1] <= ends[1]


def column_for(grid: Grid, rows: Sequence[int], ask: Whole) -> int | None:
    """The one column of figures that the question means."""
    timed_rows = all(grid.rows[n].periods for n in rows)
    found = [n for n in range(len(grid.columns)) if numeric(grid, rows, n)]
    if ask.periods and not timed_rows:
        if len(ask.periods) > 1:
            return None
        (time,) = ask.periods
        if any(column.periods for column in grid.columns):
            found = [n for n in found if any(time.agrees(each) for each in grid.columns[n].periods)]
        elif time != Period(grid.year):
            return None
    fit = {n: overlap(grid, n, ask) for n in found}
    if not any(fit.values()):
        fit = {n: int(says(roots(grid.columns[n].label), ask.wanted)) for n in found}
    best = max(fit.values(), default=0)
    ranked = [n for n in found if fit[n] == best]
    if len(ranked) != 1 or (best == 0 and len(found) > 1):
        return None
    (column,) = ranked
    chosen = roots(grid.columns[column].label)
    others = {word for n in found for word in roots(grid.columns[n].label)} - chosen
    # A word that another column has: that one, or both, may be meant.
    return None if shared(ask.wanted - shared(ask.wanted, chosen), others) else column


def shared(asked: Collection[str], labels: Collection[str]) -> set[str]:
    """The words asked for that labels have, but for an ending: Tarif and Tarife, plan and planned."""
    return {word for word in asked if any(alike(word, label) for label in labels)}


def alike(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= SAME_LETTERS and long.startswith(short))


def overlap(grid: Grid, column: int, ask: Whole) -> int:
    label = grid.columns[column].label
    return len(shared(ask.wanted, roots(label))) + (ask.priced and bool(PRICE.search(label)))


def numeric(grid: Grid, rows: Sequence[int], column: int) -> bool:
    """Whether a column holds a figure in most rows, and neither words nor times."""
    cells = [grid.cells[n][column] for n in rows]
    figures = sum(cell.figure is not None for cell in cells)
    worded = any(cell.text and cell.figure is None for cell in cells)
    # A column of years; 1960 among other figures is no year.
    timed = all(only_period(cell.text) for cell in cells if cell.text)
    return figures * 2 > len(cells) and not worded and not timed


def unaccounted(grid: Grid, ask: Whole, chosen: frozenset[str]) -> tuple[frozenset[str], float]:
    """The words that nothing around the rows explains, and how near the others stand, in [0, 1]."""
    near = chosen | roots(f"{grid.topic} {grid.corner}")
    far = roots(grid.caption) | {word for line in grid.rows if line.label for word in total_words(line.label)}
    asked = (ask.wanted | set(ask.kind)) - span_words(ask)
    close = shared(asked, near) | synonymous(asked, near)
    rest = asked - close - shared(asked, far)
    weight = CLOSE_WORDS * len(close) + FAR_WORDS * len(asked - close - rest)
    return frozenset(rest), weight / len(asked - rest) if asked - rest else FAR_WORDS


def total_words(label: str) -> frozenset[str]:
    """What the name of a total tells about all rows: "Total spending"."""
    return roots(label) if is_total(label) else frozenset()


def is_total(label: str) -> bool:
    return bool(SUMMARY.match(label))


def span_words(ask: Whole) -> frozenset[str]:
    """Words for the time that the rows are, once that is settled."""
    return frozenset(word for word in ask.wanted if ask.span and SPANS[ask.span].match(word))


def having(grid: Grid, rows: Sequence[int], rest: frozenset[str]) -> list[int]:
    """The rows whose name, or whose cell in one column of words, holds all the words that are left."""
    ways = [[n for n in rows if rest <= shared(rest, roots(grid.rows[n].label))]]
    for column in range(len(grid.columns)):
        ways.append([n for n in rows if rest <= shared(rest, roots(grid.cells[n][column].text))])
    fitting = [way for way in ways if way]
    return fitting[0] if len(fitting) == 1 else []
