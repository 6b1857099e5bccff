"""Tables without drawn columns: cells that line up, whether written line by line or cell by cell. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.parsing.words import Cell, Line, Table, around, flow

MAX_STACK = 12  # lines of one cell
TIGHT = 0.7  # of the font size: the widest gap between two lines of one cell
LOOSE = 3.0  # of the font size: the widest gap between two rows


class Row:
    """A row in the making: columns of cells, each a stack of lines."""

    def __init__(self, line: Line) -> None:
        self.stacks: list[list[Cell]] = [[cell] for cell in line.cells]
        self.size = max(line.size, 1.0)
        self.top, self.bottom = line.top, line.bottom
        self.gap = 0.0  # to the row above

    @property
    def left(self) -> float:
        return self.stacks[0][0].left

    def take(self, line: Line) -> bool:
        """Take in a line that continues this row, to the right or downwards."""
        taken = self._beside(line) or self._under(line)
        if taken:
            self.top, self.bottom = min(self.top, line.top), max(self.bottom, line.bottom)
        return taken

    def _beside(self, line: Line) -> bool:
        """Further cells: to the right of the last one, not above the row and not below it."""
        last = self.stacks[-1]
        right = max(cell.right for cell in last)
        if line.left < right - 0.3 * self.size or line.top > self.bottom - 0.3 * self.size:
            return False
        if line.top < self.top - MAX_STACK / 2 * self.size or line.bottom < self.top:
            return False
        self.stacks.extend([cell] for cell in line.cells)
        return True

    def _under(self, line: Line) -> bool:
        """More lines of cells: right below what stands there, and not in the way of other cells."""
        targets = []
        for cell in line.cells:
            over = [stack for stack in self.stacks if overlap(stack[-1], cell) > 0]
            if len(over) != 1 or len(over[0]) >= MAX_STACK:
                return False
            if not -0.5 * self.size < cell.top - over[0][-1].bottom < TIGHT * self.size:
                return False
            targets.append(over[0])
        first = targets[0] is self.stacks[0] and len(self.stacks) > 1
        if first or not all(self._fits(cell, stack) for cell, stack in zip(line.cells, targets, strict=True)):
            return False
        for cell, stack in zip(line.cells, targets, strict=True):
            stack.append(cell)
        return True

    def _fits(self, cell: Cell, stack: list[Cell]) -> bool:
        """Whether a cell is set as the stack is: flush left, flush right or centred."""
        return lines_up(cell, stack[0], 1.5 * self.size)

    def cells(self) -> list[Cell]:
        return [Cell(flow(cell.text for cell in stack), *around(stack)) for stack in self.stacks]


def lines_up(one: Cell, other: Cell, near: float) -> bool:
    """Whether two cells are set flush left, flush right or centred under each other, within `near` points."""
    return (
        abs(one.left - other.left) < near
        or abs(one.right - other.right) < near
        or abs(one.left + one.right - other.left - other.right) < 2 * near
    )


def overlap(one: Cell, other: Cell) -> float:
    """How much of the page's width two cells share, in points."""
    return min(one.right, other.right) - max(one.left, other.left)


def possible_starts(page: Sequence[Line | Table]) -> set[int]:
    """Where a table could begin: at a line of several cells, or some lines before one that goes back up."""
    found: set[int] = set()
    for index, line in enumerate(page):
        if not isinstance(line, Line):
            continue
        if len(line.cells) > 1:
            found.add(index)
        elif index and line.left >= page[index - 1].left and line.top < page[index - 1].bottom:
            found.update(range(max(0, index - MAX_STACK), index + 1))
    return {index for index in found if isinstance(page[index], Line)}


def aligned(page: Sequence[Line | Table], index: int) -> tuple[Table | None, int]:
    """The table that starts with this line, and how many lines it takes; None and 0 for no table."""
    rows, ends = grown(page, index)
    while rows and len(rows[-1].stacks) < 2:
        rows.pop()
        ends.pop()
    full = [row for row in rows if len(row.stacks) > 1]
    if len(full) < 2 or (len(full) == 2 and min(len(row.stacks) for row in full) < 3 and not stacked(full)):
        return None, 0
    edges = around(cell for row in rows for stack in row.stacks for cell in stack)
    return Table(arranged([row.cells() for row in rows]), *edges), ends[-1] - index


def stacked(rows: Sequence[Row]) -> bool:
    """Whether rows have cells of several lines: those are cells even if there are few."""
    return any(len(stack) > 1 for row in rows for stack in row.stacks)


def grown(page: Sequence[Line | Table], index: int) -> tuple[list[Row], list[int]]:
    """Rows from this line on for as long as lines fit, and the index behind each row."""
    rows: list[Row] = []
    ends: list[int] = []
    for position in range(index, len(page)):
        line = page[position]
        if not isinstance(line, Line) or not line.upright:
            break
        if rows and rows[-1].take(line):
            ends[-1] = position + 1
            continue
        if rows and not follows(rows, line):
            break
        rows.append(Row(line))
        ends.append(position + 1)
        # A line of one cell begins a table only if others stand beside it.
        if len(rows) == 1 and len(line.cells) == 1 and not beside_soon(page, position):
            return [], []
    return rows, ends


def beside_soon(page: Sequence[Line | Table], index: int) -> bool:
    """Whether one of the next few lines goes back up and to the right of this one."""
    first = page[index]
    for line in page[index + 1 : index + MAX_STACK]:
        if not isinstance(line, Line):
            return False
        if line.left >= first.right - 1 and line.top < first.bottom:
            return True
        if line.left > first.right or line.top < first.top:
            return False
    return False


def follows(rows: Sequence[Row], line: Line) -> bool:
    """Whether a line begins the next row: below, not far, lined up with what is there."""
    last = rows[-1]
    if len(last.stacks) < 2 and (len(rows) < 2 or len(rows[-2].stacks) < 2):
        return False  # two rows of one cell are text
    gap = line.top - last.bottom
    if not -0.5 * last.size < gap < LOOSE * last.size or abs(line.size - last.size) > 0.25 * last.size:
        return False
    known = [stack[0] for row in rows for stack in row.stacks[1:]]
    near = 1.5 * max(last.size, line.size)
    if len(line.cells) > 1:
        lined_up = sum(any(lines_up(cell, other, near) for other in known) for cell in line.cells[1:])
        return lined_up >= max(1, (len(line.cells) - 1) / 2)
    # A first cell, or a heading of the rows below it.
    return abs(line.left - rows[0].left) < near and line.right < max(cell.right for cell in known)


def arranged(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """Each cell's text in the column of the fullest row that it shares most width with."""
    most = max(len(row) for row in rows)
    model = [row for row in rows if len(row) == most]
    columns = [
        Cell("", min(row[at].left for row in model), 0, max(row[at].right for row in model), 0)
        for at in range(most)
    ]
    found = []
    for row in rows:
        texts = [""] * most
        at = -1
        for number, cell in enumerate(row):
            # Cells of a row stay in order, with room left for those that follow.
            choices = range(at + 1, most - (len(row) - number) + 1)
            at = max(choices, key=lambda column, cell=cell: overlap(columns[column], cell))  # type: ignore[misc]
            texts[at] = cell.text
        found.append(texts)
    return found
