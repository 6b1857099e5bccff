"""Sums, means, extremes, orders and counts over all rows of a table; None wherever one row is not sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from rag.answering.tables.asking import Operation
from rag.answering.tables.figures import written
from rag.answering.tables.grid import Grid
from rag.answering.tables.locating import Place
from rag.answering.tables.naming import LEVELS
from rag.answering.tables.periods import Period
from rag.answering.tables.reckoning import Reckoning, amount, shown, value
from rag.answering.tables.survey import Survey, having, numeric, shared, surveyed, unaccounted
from rag.answering.tables.totals import body
from rag.answering.tables.wholes import Whole, roots


def tallied(grid: Grid, ask: Whole) -> Reckoning | None:
    """The answer of one grid, as it lies or turned."""
    # "Which child ticket" asks for tickets, and in the column of children.
    beside = set(ask.kind) - shared(ask.kind, roots(grid.corner))
    ask = replace(ask, wanted=ask.wanted | beside)
    if ask.operation is Operation.COUNT and ask.limit is None:
        return counted_by_words(grid, ask)
    survey = surveyed(grid, ask)
    if survey is None:
        return None
    if ask.limit is not None:
        return beyond(survey, ask) if ask.operation is Operation.COUNT else None
    if ask.operation in (Operation.HIGHEST, Operation.LOWEST):
        return ordered(survey, ask)
    return gathered(survey, ask)


def ordered(survey: Survey, ask: Whole) -> Reckoning | None:
    """The row with the largest or smallest figure, the second, or several in order; None for a tie."""
    places = survey.places
    if len(places) < 2 or any(each.cell.figure and each.cell.figure.nil for each in places):
        return None
    high = ask.operation is Operation.HIGHEST
    order = sorted(places, key=value, reverse=high)
    first, last = (ask.nth - 1, ask.nth) if ask.nth > 1 else (0, ask.few or len(order))
    if last > len(order) or any(
        value(one) == value(other) for one, other in zip(order[:last], order[1 : last + 1], strict=False)
    ):
        return None
    named = order[first:last]
    text = ", ".join(f"{each.row.name} ({shown(each, survey.grid)})" for each in named)
    formula = f" {'>' if high else '<'} ".join(shown(each, survey.grid, bare=True) for each in order)
    # Of times the answer is the year, as of any question for a time.
    values = tuple(Decimal(year_of(each)) or value(each) for each in named)
    return reckoning(ask, survey, order, values, text, formula)


def year_of(place: Place) -> int:
    """The year that a row is, 0 for a row that is a month or no time at all."""
    return max((each.year for each in place.row.periods if each == Period(each.year)), default=0)


def gathered(survey: Survey, ask: Whole) -> Reckoning | None:
    """The sum or the mean of all rows."""
    places = survey.places
    units = {each.cell.figure.unit for each in places if each.cell.figure}
    levels = all(each.row.periods for each in places) and LEVELS.search(places[0].column.label)
    if ask.operation is Operation.SUM and levels:
        return None  # the stock of two months is not twice as much
    if len(places) < 2 or len(units) > 1 or (units == {"%"} and ask.operation is Operation.SUM):
        return None
    if ask.operation is Operation.AVERAGE and any(
        each.cell.figure and each.cell.figure.nil for each in places
    ):
        return None
    total = sum(map(value, places), Decimal(0))
    formula = " + ".join(shown(each, survey.grid, bare=True) for each in places)
    if ask.operation is Operation.AVERAGE:
        total, formula = total / len(places), f"({formula}) / {len(places)}"
    text = f"{amount(total, survey.grid, places[0])} ({places[0].column.label})"
    return reckoning(ask, survey, places, (total,), text, formula)


def beyond(survey: Survey, ask: Whole) -> Reckoning | None:
    """How many rows are above or below a limit, and which."""
    assert ask.limit is not None
    if survey.grid.scale:
        return None  # whether the limit is in thousands too is not said
    limit = ask.limit
    hits = [each for each in survey.places if (value(each) > limit if ask.above else value(each) < limit)]
    formula = ", ".join(
        f"{shown(each, survey.grid, bare=True)} {'>' if ask.above else '<'} {written(limit)}" for each in hits
    )
    text = f"{len(hits)} ({', '.join(each.row.name for each in hits)})" if hits else "0"
    return reckoning(ask, survey, survey.places, (Decimal(len(hits)),), text, formula)


def counted_by_words(grid: Grid, ask: Whole) -> Reckoning | None:
    """How many rows there are, or have what is asked for in a column of words."""
    rows = body(grid, ask.wanted)
    kinds = shared(ask.kind, roots(grid.corner))
    if grid.turned or not grid.corner or ask.periods or ask.span or not rows:
        return None
    rest, score = unaccounted(grid, ask, frozenset().union(*(roots(each.label) for each in grid.columns)))
    if not kinds and not (set(ask.kind) & rest):
        return None
    kept = having(grid, rows, rest) if rest else list(rows)
    column = next((n for n in range(len(grid.columns)) if numeric(grid, rows, n)), None)
    if not kept or column is None:
        return None
    survey = Survey(grid, tuple(kept), column, score)
    text = f"{len(kept)} ({', '.join(each.row.name for each in survey.places)})"
    return reckoning(ask, survey, survey.places, (Decimal(len(kept)),), text, "")


def reckoning(
    ask: Whole, survey: Survey, places: Sequence[Place], values: tuple[Decimal, ...], text: str, formula: str
) -> Reckoning:
    counting = ask.operation is Operation.COUNT
    unit = places[0].cell.figure.unit if places[0].cell.figure and not counting else ""
    scale = survey.grid.scale if unit != "%" and not counting else ""
    return Reckoning(
        ask.operation, text, formula, tuple(places), values, unit, scale, survey.score, whole=True
    )
