"""A table being read cell by cell, with cells that span columns and rows."""

from __future__ import annotations

MAX_SPAN = 1000
MAX_REPEATED = 1_000_000


class Grid:
    """Rows of cells. A cell over several rows is repeated in each, so that every row says what it is about.

    The further columns of a wide cell stay empty: the columns line up, and the words are not multiplied.
    """

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self._hanging: dict[int, tuple[str, int]] = {}
        self._repeated = 0

    def row(self) -> None:
        """Begin a row."""
        self._hang()
        self.rows.append([])

    def cell(self, text: str, *, width: int = 1, height: int = 1) -> None:
        """Add a cell to the row that began last."""
        if not self.rows:
            self.row()
        if width == height == 1 and not self._hanging:  # nearly every cell
            self.rows[-1].append(text)
            return
        self._hang()
        row = self.rows[-1]
        start, width = len(row), min(max(width, 1), MAX_SPAN)
        row += [text] + [""] * (width - 1)
        if height > 1:
            for column in range(start, start + width):
                self._hanging[column] = (row[column], height - 1)

    def finished(self) -> list[list[str]]:
        """All rows."""
        self._hang()
        return self.rows

    def _hang(self) -> None:
        """Fill in the cells from above that reach down to where the last row stands."""
        if not self._hanging:
            return
        while self.rows and (above := self._hanging.pop(len(self.rows[-1]), None)):
            text, left = above
            self._repeated += 1
            column = len(self.rows[-1])
            self.rows[-1].append(text)
            if left > 1 and self._repeated < MAX_REPEATED:
                self._hanging[column] = (text, left - 1)
