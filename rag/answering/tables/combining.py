"""What is worked out of the rows and times that a question names: sums, means, differences and shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from rag.answering.tables.asking import Operation
from rag.answering.tables.figures import written
from rag.answering.tables.grid import Grid
from rag.answering.tables.locating import Place
from rag.answering.tables.naming import FLOWS, LEVELS, RATES, Naming
from rag.answering.tables.picking import Pick, by_cell, by_name, by_time
from rag.answering.tables.reckoning import Reckoning, amount, shown, value
from rag.answering.tables.totals import adds_up, body
from rag.answering.tables.wholes import SUMMARY

HUNDRED = Decimal(100)


def combined(grid: Grid, ask: Naming) -> Reckoning | None:
    """The answer of one grid, as it lies or turned."""
    grid = figured(grid)
    if len({line.section for line in grid.rows}) != 1:
        return None  # a name may stand in several sections
    for way in (by_name, by_time, by_cell):
        found = way(grid, ask)
        if found and alike(found) and (answer := WAYS[ask.operation](found, ask)):
            return answer
    return None


def figured(grid: Grid) -> Grid:
    """The rows that hold a figure: of a turned grid the others are columns of words."""
    kept = [n for n, row in enumerate(grid.cells) if any(cell.figure for cell in row)]
    rows, cells = (tuple(each[n] for n in kept) for each in (grid.rows, grid.cells))
    return replace(grid, rows=rows, cells=cells)  # type: ignore[arg-type]


def alike(found: Pick) -> bool:
    """Whether all cells are told apart and count in one unit."""
    places = [place for rows in found.rows for place in found.places(rows)]
    units = {place.cell.figure.unit for place in places if place.cell.figure}
    return len(units) == 1 and len({place.cell.start for place in places}) == len(places)


def added(found: Pick, ask: Naming) -> Reckoning | None:
    """The sum or the mean of all cells."""
    (rows,) = found.rows
    places = found.places(rows)
    mean = ask.operation is Operation.AVERAGE
    if (len(places) < 2 and not found.filtered) or not (
        averaged(found, places) if mean else summed(found, ask)
    ):
        return None
    total = sum(map(value, places), Decimal(0))
    formula = " + ".join(shown(each, found.grid, bare=True) for each in places)
    if mean:
        total, formula = total / len(places), f"({formula}) / {len(places)}"
    return answer(found, ask, places, total, formula)


def averaged(found: Pick, places: Sequence[Place]) -> bool:
    """Whether a mean is told over things or over times, and not over parts of a time or both."""
    nil = any(place.cell.figure and place.cell.figure.nil for place in places)
    return not (nil or found.whole_times or (len(found.rows[0]) > 1 and len(found.columns) > 1))


def summed(found: Pick, ask: Naming) -> bool:
    """Whether the cells may be added: asked for, or what flows through a time; never levels over times."""
    grid, (rows,) = found.grid, found.rows
    label = " ".join(grid.columns[n].label for n in found.columns)
    over_times = len(found.columns) > 1 or (len(rows) > 1 and bool(grid.rows[rows[0]].periods))
    if unit(found.places(rows)[0]) == "%" or (over_times and LEVELS.search(f"{label} {ask.text}")):
        return False
    if ask.said or found.filtered:
        return True
    one_time = found.whole_times and len(ask.times) <= 1
    one_thing = len(rows) == 1 or len(found.columns) == 1
    return one_time and one_thing and bool(FLOWS.search(ask.text))


def difference(found: Pick, ask: Naming) -> Reckoning | None:
    """One figure less another; the larger less the smaller where the question tells no order."""
    named = [n for rows in found.rows for n in rows]
    places = found.places(named)
    if len(places) != 2 or found.whole_times or (ask.signed and any(len(rows) != 1 for rows in found.rows)):
        return None
    if not ask.signed:
        places.sort(key=value, reverse=True)
    left, right = places
    if value(left) < value(right):
        return None  # the question takes for granted what is not so
    formula = f"{shown(left, found.grid, bare=True)} − {shown(right, found.grid, bare=True)}"
    return answer(found, ask, places, value(left) - value(right), formula)


def share(found: Pick, ask: Naming) -> Reckoning | None:
    """The figures of the first phrase in percent of the whole column, which must have one total at most."""
    (column,) = found.columns if len(found.columns) == 1 else (None,)
    grid, (rows, of) = found.grid, found.rows
    if column is None or of or RATES.search(grid.columns[column].label):
        return None
    parts = [n for n in body(grid, frozenset()) if grid.cells[n][column].figure]
    last = len(grid.rows) - 1
    told = bool(SUMMARY.match(grid.rows[last].label)) and adds_up(grid, parts, last)
    if not set(rows) <= set(parts) or len(parts) < len(grid.rows) - told or (grid.turned and not told):
        return None
    above, below = found.places(rows), found.places([last] if told else parts)
    total = sum(map(value, below), Decimal(0))
    if total <= 0 or unit(above[0]) == "%" or any(value(each) < 0 for each in found.places(parts)):
        return None
    upper, lower = (" + ".join(shown(each, grid, bare=True) for each in group) for group in (above, below))
    formula = f"{bracketed(upper)} / {bracketed(lower)}"
    result = sum(map(value, above), Decimal(0)) / total * HUNDRED
    places = list(dict.fromkeys((*above, *below)))
    text = f"{written(result)} % ({', '.join(each.row.name for each in above)}, {above[0].column.label})"
    return Reckoning(ask.operation, text, formula, tuple(places), (result,), "%", "", found.score, whole=True)


def bracketed(terms: str) -> str:
    return f"({terms})" if " + " in terms else terms


def unit(place: Place) -> str:
    return place.cell.figure.unit if place.cell.figure else ""


def answer(found: Pick, ask: Naming, places: Sequence[Place], result: Decimal, formula: str) -> Reckoning:
    """A result in the unit of its cells, with the things and the figure that it is of."""
    grid, like = found.grid, places[0]
    columns = dict.fromkeys(place.column.label for place in places)
    rows = dict.fromkeys(place.row.name for place in places)
    named = "; ".join(", ".join(each) for each in (rows, columns))
    text = f"{amount(result, grid, like)} ({named})"
    scale = grid.scale if unit(like) != "%" else ""
    return Reckoning(
        ask.operation, text, formula, tuple(places), (result,), unit(like), scale, found.score, whole=True
    )


WAYS = {
    Operation.SUM: added,
    Operation.AVERAGE: added,
    Operation.CHANGE: difference,
    Operation.PERCENTAGE: share,
}
