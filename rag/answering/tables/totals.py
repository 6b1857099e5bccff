"""Which rows of a table are its body, and which are sums of others that must not be counted twice."""

from __future__ import annotations

from decimal import Decimal

from rag.answering.tables.grid import Grid
from rag.answering.tables.wholes import SUMMARY, roots

ROUNDING = Decimal("0.005")  # a total of rounded figures differs by so much of itself
# Fewer rows may add up to the next by chance.
ROWS_THAT_PROVE = 3


def body(grid: Grid, wanted: frozenset[str]) -> list[int]:
    """The rows that are no totals; empty where that is not sure.

    What stands behind a total is of another kind: the rows in front are the body if the question, in roots,
    has a word of the total's name, and otherwise nobody can tell.
    """
    rows: list[int] = []
    for n, line in enumerate(grid.rows):
        named = not line.label or bool(SUMMARY.match(line.label))
        adds = adds_up(grid, rows, n)
        if not named and not (adds and len(rows) >= ROWS_THAT_PROVE):
            rows.append(n)
            continue
        if not adds or not named:
            return []
        behind = [each for each in range(n + 1, len(grid.rows))]
        if behind and not wanted & (roots(line.label) - {"total"}):
            return []
        break
    return rows if len({line.section for line in grid.rows}) == 1 else []


def adds_up(grid: Grid, rows: list[int], total: int) -> bool:
    """Whether a row is the sum of others in every column of figures, but for rounding."""
    sums = 0
    for column in range(len(grid.columns)):
        figures = [cell.figure for n in rows if (cell := grid.cells[n][column]).figure]
        told = grid.cells[total][column].figure
        if told is None or len(figures) != len(rows) or not rows:
            continue
        added = sum((each.value for each in figures if each), Decimal(0))
        if abs(added - told.value) > max(abs(told.value) * ROUNDING, Decimal(0)):
            return False
        sums += bool(told.value)
    return sums > 0
