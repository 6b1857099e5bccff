"""The cells of a table that the phrases and times of a question mean; None wherever that is not sure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.answering.tables.grid import Cell, Grid, Line
from rag.answering.tables.matching import match, words
from rag.answering.tables.periods import Period

# Rows that stand for others, or take away from them.
SUMMARY = re.compile(r"(?:total|net|gross|less)\b", re.IGNORECASE)
PERCENT = re.compile(r"%|\bper ?cent", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """A cell with a figure, the names of its row and column, and how well they fit in [0, 1]."""

    cell: Cell
    row: Line
    column: Line
    score: float


def locate(grid: Grid, phrase: str, period: Period | None) -> Place | None:
    """The cell that a phrase names, at a time if one is given."""
    rows = range(len(grid.rows))
    columns = [
        n
        for n in range(len(grid.columns))
        if any(grid.cells[row][n].figure and holds(grid, row, n, period) for row in rows)
    ]
    wanted = words(phrase)
    column = choose_column(columns, grid, wanted, percent=bool(PERCENT.search(phrase)))
    if column is None:
        return None
    fitting = [n for n in rows if grid.cells[n][column].figure and holds(grid, n, column, period)]
    found = match(grid, phrase, rows=fitting, beside=own_words(grid, column), caption=words(grid.caption))
    if not found or not found.sure:
        return None
    return Place(grid.cells[found.row][column], grid.rows[found.row], grid.columns[column], found.score)


def holds(grid: Grid, row: int, column: int, period: Period | None) -> bool:
    """Whether a cell is of a time, as its row and its column together name it."""
    if period is None:
        return True
    across, down = grid.rows[row].periods, grid.columns[column].periods
    times = [one.joined(other) for one in across for other in down] if across and down else (*across, *down)
    if not times:
        return period == Period(grid.year)
    return any(time is not None and period.agrees(time) for time in times)


def own_words(grid: Grid, column: int) -> frozenset[str]:
    return words(grid.columns[column].label)


def choose_column(columns: Sequence[int], grid: Grid, wanted: frozenset[str], *, percent: bool) -> int | None:
    """The one of several columns whose own words the phrase takes up best; None when two do equally.

    `percent`: whether a percentage is meant, where amounts and percentages stand side by side.
    """
    if len(columns) <= 1:
        return columns[0] if columns else None
    names = {n: own_words(grid, n) for n in columns}
    shared = frozenset.intersection(*names.values())
    best = max(rank(names[n], shared, wanted) for n in columns)
    ranked = [n for n in columns if rank(names[n], shared, wanted) == best]
    if len(ranked) == 1:
        return ranked[0] if best[0] > 0 or {is_percent(grid, n) for n in columns} == {True, False} else None
    ranked = [n for n in ranked if is_percent(grid, n) is percent]
    return ranked[0] if len(ranked) == 1 else None


def is_percent(grid: Grid, column: int) -> bool:
    """Whether most figures of a column are percentages."""
    figures = [found for row in grid.cells if (found := row[column].figure)]
    return sum(found.unit == "%" for found in figures) * 2 > len(figures)


def rank(own: frozenset[str], shared: frozenset[str], wanted: frozenset[str]) -> tuple[int, int]:
    return len(wanted & (own - shared)), -len(own - wanted)


def all_periods(grid: Grid, within: Sequence[Period] = ()) -> list[Period]:
    """The times that the columns name, in their order; only those from the first to the last of `within`."""
    lines = grid.columns if any(line.periods for line in grid.columns) else grid.rows
    found = list(dict.fromkeys(each for line in lines for each in line.periods if each.year))
    if within:
        low, high = min(each.year for each in within), max(each.year for each in within)
        found = [each for each in found if low <= each.year <= high]
    return found


def halves(phrase: str) -> list[tuple[str, str]]:
    """The ways to read "A and B" as two things."""
    return [
        (phrase[: joint.start()].strip(" ,"), phrase[joint.end() :].strip(" ,"))
        for joint in re.finditer(r"\s+(?:and|to|&)\s+(?:the\s+)?", phrase)
    ]


def standing_under(grid: Grid, phrase: str) -> list[int]:
    """The rows under the one heading that a phrase names, without their totals; else nothing."""
    wanted = words(phrase)
    sections = [line.section for line in grid.rows]
    fitting = {each for each in sections if each and wanted and words(each) == wanted}
    if len(fitting) != 1 or grid.turned:
        return []
    return [
        n
        for n, line in enumerate(grid.rows)
        if line.section in fitting and line.label and not SUMMARY.match(line.label)
    ]
