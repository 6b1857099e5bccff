"""An answer computed from the cells of a table: looked up, or worked out with the formula shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from rag.answering.tables.asking import Ask, Operation, understand
from rag.answering.tables.combining import combined
from rag.answering.tables.figures import written
from rag.answering.tables.grid import Grid
from rag.answering.tables.locating import Place, all_periods, halves, locate, standing_under
from rag.answering.tables.matching import words
from rag.answering.tables.naming import LEVELS, naming
from rag.answering.tables.periods import Period, only_period
from rag.answering.tables.reckoning import Reckoning, amount, made, shown, titled, value, year_of
from rag.answering.tables.tally import tallied
from rag.answering.tables.wholes import whole

ABOUT = 0.4  # what the words of its heading count in the choice of a table
BETWEEN = re.compile(r"\s*(?:between|zwischen|entre)\b", re.IGNORECASE)
HUNDRED = Decimal(100)
FACTORS = {"": 1, "thousand": 10**3, "million": 10**6, "billion": 10**9}


def is_reckoned(question: str) -> bool:
    """Whether a question asks for what can be reckoned; for the others no table is parsed."""
    return bool(understand(question) or whole(question) or naming(question))


def reckon(question: str, tables: Sequence[Grid]) -> Reckoning | None:
    """The answer of the table that fits best; None where no rule fits or a cell is not sure."""
    grids = [grid for table in tables for grid in (table, table.turn())]
    ask, overall, named = understand(question), whole(question), naming(question)
    if ask and named and ask.operation is Operation.LOOKUP and named.operation is not Operation.SUM:
        ask = None  # a share or a difference does not stand in a cell
    asked = words(question)
    found: list[tuple[Grid, Reckoning | None]] = []
    if ask:
        found = [(grid, WAYS[ask.operation](grid, ask)) for grid in grids]
    if overall and not any(each for _, each in found):
        found = [(grid, tallied(grid, overall)) for grid in grids]
    if named and not any(each for _, each in found):
        found = [(grid, combined(grid, named)) for grid in grids]
    made = [(grid, each) for grid, each in found if each and not meant_another(grid, tables, asked)]
    if ask and not made:
        made = [each for each in [of_two_tables(tables, ask)] if each]
    fits = [(each.score + about(grid, asked), each) for grid, each in made]
    if not fits:
        return None
    best, answer = max(fits, key=lambda each: each[0])
    # Two tables that fit as well and say something else: nobody can tell which is meant.
    rivals = [each for fit, each in fits if fit > best - 0.05 and each.values != answer.values]
    return None if rivals else answer


def of_two_tables(tables: Sequence[Grid], ask: Ask) -> tuple[Grid, Reckoning] | None:
    """A difference or ratio whose two figures stand in two tables that count in the same unit and scale."""
    when = ask.periods[0] if len(ask.periods) == 1 else None
    if len(ask.periods) > 1 or ask.operation not in (Operation.CHANGE, Operation.RATIO, Operation.PERCENTAGE):
        return None
    named = [*ask.operands, ask.over] if ask.over else list(ask.operands)
    ways = [(named[0], named[1])] if len(named) == 2 else halves(BETWEEN.sub("", named[0]))
    for phrases in ways:
        first, second = (anywhere(tables, phrase, when) for phrase in phrases)
        if not first or not second or first[0] is second[0]:
            continue
        (grid, one), (other, two) = first, second
        if grid.document != other.document or grid.scale != other.scale or unit_of(one) != unit_of(two):
            return None
        result = apart(grid, ask, one, two)
        return (grid, result) if result else None
    return None


def anywhere(tables: Sequence[Grid], phrase: str, when: Period | None) -> tuple[Grid, Place] | None:
    """The cell of a phrase in the table whose heading fits it best; None where two fit as well."""
    wanted = words(phrase)
    found = [
        (place.score + about(grid, wanted), table, place)
        for table in tables
        for grid in (table, table.turn())
        if (place := locate(grid, phrase, when))
    ]
    if not found:
        return None
    best, table, place = max(found, key=lambda each: each[0])
    rivals = [each for each in found if each[0] > best - 0.05 and value(each[2]) != value(place)]
    return None if rivals else (table, place)


def unit_of(place: Place) -> str:
    return place.cell.figure.unit if place.cell.figure else ""


def meant_another(grid: Grid, tables: Sequence[Grid], asked: frozenset[str]) -> bool:
    """Whether a question has a word of the heading of another table of the document, which this one lacks."""
    lines = " ".join(line.label for line in (*grid.rows, *grid.columns))
    own = words(f"{grid.topic} {lines}")
    others = [each for each in tables if each.document == grid.document and each.topic != grid.topic]
    return any(asked & words(each.topic) - own for each in others)


def about(grid: Grid, wanted: frozenset[str]) -> float:
    """How far a table's own heading tells it from another one of the same document."""
    return ABOUT * len(wanted & words(grid.topic)) / len(wanted) if wanted else 0.0


def lookup(grid: Grid, ask: Ask) -> Reckoning | None:
    """One figure, or one for each time asked for."""
    (phrase,) = ask.operands
    places: Sequence[Place] = located(grid, phrase, ask.periods or (None,))
    if not places and len(ask.periods) <= 1:
        when = ask.periods[0] if ask.periods else None
        pairs = (both(grid, two, when) for two in halves(phrase))
        places = next((pair for pair in pairs if pair), ())
    if not places:
        return None
    text = "; ".join(f"{as_told(each, grid)} ({titled(each)})" for each in places)
    return made(ask, grid, places, tuple(value(each) for each in places), text, "")


def as_told(place: Place, grid: Grid) -> str:
    """A figure as it stands in its cell, where there is no unit or scale to add: it may be a phone number."""
    figure = place.cell.figure
    plain = figure and not figure.unit and not grid.scale and figure.value >= 0
    return place.cell.text if plain else shown(place, grid)


def change(grid: Grid, ask: Ask) -> Reckoning | None:
    """The later figure less the earlier, or one figure less another; also in percent of the latter."""
    pair = pair_of(grid, ask)
    if pair is None:
        return None
    return apart(grid, ask, *pair)


def apart(grid: Grid, ask: Ask, one: Place, two: Place) -> Reckoning | None:
    """The first figure less the second, in percent of it, or over it; None where that is nothing."""
    new, old = value(one), value(two)
    left, right = shown(one, grid, bare=True), shown(two, grid, bare=True)
    pair = (one, two)
    if ask.operation is Operation.CHANGE:
        return made(ask, grid, pair, (new - old,), amount(new - old, grid, one), f"{left} − {right}")
    if old == 0:
        return None
    if ask.operation is Operation.PERCENT_CHANGE:
        result = (new - old) / old * HUNDRED
        formula = f"({left} − {right}) / {right}"
        return made(ask, grid, pair, (result,), f"{written(result)} %", formula, unit="%", scale="")
    share = new / old * (HUNDRED if ask.operation is Operation.PERCENTAGE else 1)
    if ask.operation is Operation.PERCENTAGE:
        return made(ask, grid, pair, (share,), f"{written(share)} %", f"{left} / {right}", unit="%", scale="")
    return made(ask, grid, pair, (share,), written(share), f"{left} / {right}", scale="")


def pair_of(grid: Grid, ask: Ask) -> tuple[Place, Place] | None:
    """What is compared: (later, earlier) of one thing, or two things at one time."""
    when = ask.periods[0] if len(ask.periods) == 1 else None
    if len(ask.operands) == 2:
        return both(grid, ask.operands, when)
    (phrase,) = ask.operands
    if len(ask.periods) < 2:
        for two in halves(phrase):
            if pair := both(grid, two, when):
                if ask.operation is Operation.CHANGE and value(pair[0]) < value(pair[1]):
                    return pair[1], pair[0]
                return pair
    if len(ask.periods) < 2 and (ask.apart or BETWEEN.match(phrase)):
        return None  # of two things, one is not in the table
    times = sorted(ask.periods) or sorted(all_periods(grid))
    if len(times) == 1:
        earlier = [each for each in sorted(all_periods(grid)) if each.year == times[0].year - 1]
        times = [*earlier, *times]
    if len(times) != 2:
        return None
    places = located(grid, phrase, times)
    if not places:
        return None
    return (places[0], places[1]) if ask.falling else (places[1], places[0])


def both(grid: Grid, phrases: tuple[str, ...], when: Period | None) -> tuple[Place, Place] | None:
    """Two different cells for two phrases."""
    first, second = (locate(grid, phrase, when) for phrase in phrases)
    if not first or not second or first.cell == second.cell:
        return None
    return (first, second) if first.row == second.row or first.column == second.column else None


def gathered(grid: Grid, ask: Ask) -> Reckoning | None:
    """The sum or the mean over times, or over things at one time."""
    (phrase,) = ask.operands
    times: Sequence[Period | None] = ask.periods
    if ask.every:
        times = all_periods(grid, ask.periods)
    places = located(grid, phrase, times) if len(times) > 1 else []
    if places and ask.operation is Operation.SUM and LEVELS.search(phrase):
        return None  # the stock of two months is not twice as much
    if not places and len(ask.periods) <= 1:
        when = ask.periods[0] if ask.periods else None
        pairs = (both(grid, two, when) for two in halves(phrase))
        places = list(next((pair for pair in pairs if pair), ()))
    if not places and ask.operation is Operation.SUM and len(grid.columns) - len(wordy(grid)) == 1:
        (column,) = set(range(len(grid.columns))) - wordy(grid)
        lines = [n for n in standing_under(grid, phrase) if grid.cells[n][column].figure]
        places = [Place(grid.cells[n][column], grid.rows[n], grid.columns[column], 1.0) for n in lines]
    nil = any(each.cell.figure and each.cell.figure.nil for each in places)
    if len(places) < 2 or (nil and ask.operation is Operation.AVERAGE):
        return None
    total = sum((value(each) for each in places), Decimal(0))
    formula = " + ".join(shown(each, grid, bare=True) for each in places)
    if ask.operation is Operation.SUM:
        return made(ask, grid, places, (total,), amount(total, grid, places[0]), formula)
    mean = total / len(places)
    return made(ask, grid, places, (mean,), amount(mean, grid, places[0]), f"({formula}) / {len(places)}")


def share(grid: Grid, ask: Ask) -> Reckoning | None:
    """One figure over another, as a ratio or in percent; the upper one may be "A and B"."""
    (phrase,) = ask.operands
    when = ask.periods[0] if ask.periods else None
    below = locate(grid, ask.over, when)
    above = parts(grid, phrase, when)
    if not below or not above or below.cell in [each.cell for each in above] or value(below) == 0:
        return None
    result = sum((value(each) for each in above), Decimal(0)) / value(below)
    upper = " + ".join(shown(each, grid, bare=True) for each in above)
    formula = f"{f'({upper})' if len(above) > 1 else upper} / {shown(below, grid, bare=True)}"
    places = (*above, below)
    if ask.operation is Operation.PERCENTAGE:
        result *= HUNDRED
        return made(ask, grid, places, (result,), f"{written(result)} %", formula, unit="%", scale="")
    return made(ask, grid, places, (result,), written(result), formula, scale="")


def parts(grid: Grid, phrase: str, when: Period | None) -> list[Place]:
    """The cell of a phrase, or those of its two halves."""
    if whole := locate(grid, phrase, when):
        return [whole]
    pairs = (both(grid, two, when) for two in halves(phrase))
    return list(next((pair for pair in pairs if pair), ()))


def compared(grid: Grid, ask: Ask) -> Reckoning | None:
    """The times at which a figure is beyond a limit, or how many they are."""
    (phrase,) = ask.operands
    times = all_periods(grid, ask.periods if len(ask.periods) > 1 else ())
    places = located(grid, phrase, times) if len(times) > 1 else []
    if not places or ask.limit is None:
        return None
    if ask.scale and ask.scale != grid.scale and not grid.scale:
        return None  # in what the table counts is not said
    limit = ask.limit * FACTORS[ask.scale or grid.scale] / FACTORS[grid.scale]
    fits = [value(each) > limit if ask.above else value(each) < limit for each in places]
    hits = [place for place, fit in zip(places, fits, strict=True) if fit]
    sign = ">" if ask.above else "<"
    formula = ", ".join(f"{shown(each, grid, bare=True)} {sign} {written(limit)}" for each in hits)
    named = ", ".join(each.column.label for each in hits) or "none"
    count = Decimal(len(hits))
    if ask.operation is Operation.COUNT:
        return made(ask, grid, places, (count,), f"{count} ({named})" if hits else "0", formula, scale="")
    return made(ask, grid, places, tuple(Decimal(year_of(each)) for each in hits), named, formula, scale="")


def extreme(grid: Grid, ask: Ask) -> Reckoning | None:
    """The time at which a figure is largest or smallest; None for a tie."""
    (phrase,) = ask.operands
    times = all_periods(grid, ask.periods)
    places = located(grid, phrase, times) if len(times) > 1 else []
    if not places:
        return None
    order = sorted(places, key=value, reverse=ask.operation is Operation.HIGHEST)
    if value(order[0]) == value(order[1]):
        return None
    sign = ">" if ask.operation is Operation.HIGHEST else "<"
    formula = f" {sign} ".join(shown(each, grid, bare=True) for each in order)
    best = order[0]
    return made(ask, grid, order, (Decimal(year_of(best)),), best.column.label, formula, scale="")


WAYS = {
    Operation.LOOKUP: lookup,
    Operation.CHANGE: change,
    Operation.PERCENT_CHANGE: change,
    Operation.SUM: gathered,
    Operation.AVERAGE: gathered,
    Operation.RATIO: share,
    Operation.PERCENTAGE: share,
    Operation.COUNT: compared,
    Operation.WHEN: compared,
    Operation.HIGHEST: extreme,
    Operation.LOWEST: extreme,
}


def located(grid: Grid, phrase: str, times: Sequence[Period | None]) -> list[Place]:
    """A different cell of the same row for each time; nothing when one is missing."""
    found = [locate(grid, phrase, each) for each in times]
    places = [each for each in found if each is not None]
    if len(places) < len(found) or len({each.cell.start for each in places}) < len(places):
        return []
    same_row = len({each.row for each in places}) == 1
    return places if same_row else []


def wordy(grid: Grid) -> set[int]:
    """The columns that hold words or years rather than figures, and so cannot be summed."""
    return {
        n
        for n in range(len(grid.columns))
        if any(row[n].text and (row[n].figure is None or only_period(row[n].text)) for row in grid.cells)
    }
