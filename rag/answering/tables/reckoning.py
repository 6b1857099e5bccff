"""What was worked out of a table, and how figures are written: with their unit, or bare in a formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rag.answering.tables.asking import Ask, Operation
from rag.answering.tables.figures import written
from rag.answering.tables.grid import Grid
from rag.answering.tables.locating import Place

# What a row that was not found would change.
OF_ALL = frozenset(Operation) - {
    Operation.LOOKUP,
    Operation.CHANGE,
    Operation.PERCENT_CHANGE,
    Operation.RATIO,
    Operation.PERCENTAGE,
}


@dataclass(frozen=True, slots=True)
class Reckoning:
    """`text` is the answer, `formula` how it came about, `places` the cells it rests on, in its order.

    `values` are in units of `scale` (thousand, million, billion or nothing). `score`: how well the names of
    rows and columns fit the question, in [0, 1]. `whole`: it holds only if no row of the table is missing.
    """

    operation: Operation
    text: str
    formula: str
    places: tuple[Place, ...]
    values: tuple[Decimal, ...] = ()
    unit: str = ""
    scale: str = ""
    score: float = 0.0
    whole: bool = False


def value(place: Place) -> Decimal:
    """The number of a cell."""
    assert place.cell.figure is not None
    return place.cell.figure.value


def year_of(place: Place) -> int:
    return max((each.year for each in place.column.periods), default=0)


def titled(place: Place) -> str:
    return ", ".join(part for part in (place.row.name, place.column.label) if part)


def shown(place: Place, grid: Grid, *, bare: bool = False) -> str:
    """A cell's number; without unit and scale inside a formula."""
    number = value(place)
    return (
        (f"({written(number)})" if number < 0 else written(number)) if bare else amount(number, grid, place)
    )


def amount(number: Decimal, grid: Grid, like: Place) -> str:
    """A number in the unit and scale of a cell."""
    assert like.cell.figure is not None
    unit = like.cell.figure.unit
    scale = grid.scale if unit != "%" else ""
    sign = "−" if number < 0 else ""
    text = f"{sign}{unit if unit != '%' else ''}{written(abs(number))}{' %' if unit == '%' else ''}"
    return f"{text} {scale}".strip()


def made(
    ask: Ask,
    grid: Grid,
    places: Sequence[Place],
    values: tuple[Decimal, ...],
    text: str,
    formula: str,
    *,
    unit: str | None = None,
    scale: str | None = None,
) -> Reckoning:
    figure = places[0].cell.figure
    assert figure is not None
    unit = figure.unit if unit is None else unit
    return Reckoning(
        ask.operation,
        text,
        formula,
        tuple(places),
        values,
        unit,
        (grid.scale if unit != "%" else "") if scale is None else scale,
        min(each.score for each in places),
        whole=ask.operation in OF_ALL and (grid.turned or len({each.row for each in places}) > 1),
    )
