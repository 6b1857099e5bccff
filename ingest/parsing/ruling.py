"""Tables with drawn rules: words are put into the grid that the rules make. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ingest.parsing.words import Edges, Table, Word, flow

NEAR = 3.0  # points: rules that come this close touch
SHORT = 4.0  # points: what is shorter is no rule
MAX_RULES = 2_000
MAX_CELL_WORDS = 250
STRAYED = 0.3  # share of words that stand in cells over several rows or columns


@dataclass(slots=True)
class Grid:
    """Rules that touch. Cells lie between neighbouring `xs` and `ys` where a rule really parts them."""

    flat: list[Edges] = field(default_factory=list)
    upright: list[Edges] = field(default_factory=list)
    xs: list[float] = field(default_factory=list)
    ys: list[float] = field(default_factory=list)

    def settle(self) -> bool:
        """Fix the lines of the grid; False if it has no two columns or no two rows."""
        every = [*self.flat, *self.upright]
        left, right = min(rule.left for rule in every), max(rule.right for rule in every)
        top, bottom = min(rule.top for rule in every), max(rule.bottom for rule in every)
        # A table may be open at its sides.
        self.xs = distinct([left, right, *(rule.left for rule in self.upright)])
        self.ys = distinct([top, bottom, *(rule.top for rule in self.flat)])
        return len(self.xs) > 2 and len(self.ys) > 2

    def holds(self, x: float, y: float) -> bool:
        return self.xs[0] <= x <= self.xs[-1] and self.ys[0] <= y <= self.ys[-1]

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of a place; of a cell that spans several, the first."""
        row = min(max(bisect_right(self.ys, y) - 1, 0), len(self.ys) - 2)
        column = min(max(bisect_right(self.xs, x) - 1, 0), len(self.xs) - 2)
        while column and not crosses(self.upright, self.xs[column], y, across=False):
            column -= 1
        while row and not crosses(self.flat, self.ys[row], x, across=True):
            row -= 1
        return row, column


def crosses(rules: Iterable[Edges], at: float, along: float, *, across: bool) -> bool:
    """Whether one of these rules lies at `at` and reaches over `along` on the other axis."""
    for rule in rules:
        start, end, place = (
            (rule.left, rule.right, rule.top) if across else (rule.top, rule.bottom, rule.left)
        )
        if abs(place - at) <= NEAR and start - NEAR <= along <= end + NEAR:
            return True
    return False


def distinct(places: Iterable[float]) -> list[float]:
    """Places in order, those that nearly agree once."""
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > NEAR:
            found.append(place)
    return found


def grids(rules: Sequence[Edges]) -> list[Grid]:
    """The grids that rules make, from groups of rules that touch each other."""
    kept = [rule for rule in rules if max(rule.width, rule.height) >= SHORT]
    if not 4 <= len(kept) <= MAX_RULES:
        return []
    parents = list(range(len(kept)))

    def root(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    order = sorted(range(len(kept)), key=lambda item: kept[item].top)
    reaching: list[int] = []  # those that still reach down to where we are
    for item in order:
        rule = kept[item]
        reaching = [other for other in reaching if kept[other].bottom + NEAR >= rule.top]
        for other in reaching:
            if kept[other].left <= rule.right + NEAR and rule.left <= kept[other].right + NEAR:
                parents[root(other)] = root(item)
        reaching.append(item)
    found: dict[int, Grid] = {}
    for item, rule in enumerate(kept):
        grid = found.setdefault(root(item), Grid())
        (grid.flat if rule.width >= rule.height else grid.upright).append(rule)
    return [grid for grid in found.values() if grid.flat and grid.upright and grid.settle()]


def ruled(rows: Sequence[Sequence[Word]], rules: Sequence[Edges]) -> list[Sequence[Word] | Table]:
    """The rows of a page, with each drawn table in the place of its first word."""
    kept: list[Sequence[Word] | Table] = list(rows)
    for grid in grids(rules):
        inside = [
            (number, word)
            for number, row in enumerate(kept)
            if not isinstance(row, Table)
            for word in row
            if grid.holds((word.left + word.right) / 2, (word.top + word.bottom) / 2)
        ]
        found = filled(grid, [word for _, word in inside])
        if found:
            place = inside[0][0]
            taken = {id(word) for _, word in inside}
            kept = [
                row if isinstance(row, Table) else [word for word in row if id(word) not in taken]
                for row in kept
            ]
            kept.insert(place, Table(found, grid.xs[0], grid.ys[0], grid.xs[-1], grid.ys[-1]))
    return [row for row in kept if row]


def filled(grid: Grid, words: Sequence[Word]) -> list[list[str]] | None:
    """The rows of the grid with these words in them; None if that makes no table."""
    cells: dict[tuple[int, int], list[Word]] = {}
    strayed = 0
    for word in words:
        row, column = grid.cell((word.left + word.right) / 2, (word.top + word.bottom) / 2)
        strayed += word.top > grid.ys[row + 1] or word.left > grid.xs[column + 1]
        cells.setdefault((row, column), []).append(word)
    if strayed > STRAYED * len(words):
        return None  # a form, or a frame around other things
    rows = sorted({row for row, _ in cells})
    columns = sorted({column for _, column in cells})
    if len(rows) < 2 or len(columns) < 2 or max(map(len, cells.values())) > MAX_CELL_WORDS:
        return None
    if len(rows) <= 3 and any(several_rows(cells, row, columns) for row in rows):
        return None
    return [[flow(word.text for word in cells.get((row, column), ())) for column in columns] for row in rows]


def several_rows(cells: dict[tuple[int, int], list[Word]], row: int, columns: Sequence[int]) -> bool:
    """Whether what one pair of rules encloses are many rows that no rule parts."""
    heights = [
        {round(word.bottom / NEAR) for word in cells[row, column]}
        for column in columns
        if (row, column) in cells
    ]
    return len(heights) == len(columns) and min(map(len, heights)) >= 4
