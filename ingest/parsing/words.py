"""Text placed on a page: words, cells, lines, tables.

All places are in points from the top left corner of the page as shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

CUT = "\u00ad"  # at the end of a word: the line end cut it here


class Face(NamedTuple):
    """How text is painted: size in points, colour 0-255 each, opacity 0-255.

    `painted` is False in the render modes that leave no ink, as the text layer of a scan has it.
    """

    size: float
    bold: bool = False
    upright: bool = True
    colour: tuple[int, int, int] = (0, 0, 0)
    opacity: int = 255
    painted: bool = True


class Word(NamedTuple):
    """Characters between spaces. A CUT at the end: the line end cut the word here."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    face: Face


class Letter(NamedTuple):
    """One character and where it stands."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


class Edges(NamedTuple):
    """A rectangle on the page."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom


class Placed(Protocol):
    """Anything with four edges."""

    @property
    def left(self) -> float: ...
    @property
    def top(self) -> float: ...
    @property
    def right(self) -> float: ...
    @property
    def bottom(self) -> float: ...


class Cell(NamedTuple):
    """A part of a line between wide gaps."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, words: Sequence[Word]) -> Cell:
        """The cell that these words are."""
        text = " ".join([word.text for word in words])
        if CUT in text[:-1]:
            text = flow([word.text for word in words[:-1]]) + " " + words[-1].text
        return cls(text, *around(words))


@dataclass(slots=True)
class Line:
    """A printed line with the font size that most of it has. `margin`: near the upper or lower page edge."""

    cells: list[Cell]
    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    bold: bool = False
    upright: bool = True
    margin: bool = False


@dataclass(slots=True)
class Table:
    """Rows of cells, and where they stand."""

    rows: list[list[str]]
    left: float
    top: float
    right: float
    bottom: float


def around(parts: Iterable[Placed]) -> Edges:
    """The rectangle around these parts, of which there is at least one."""
    first, *rest = parts
    left, top, right, bottom = first.left, first.top, first.right, first.bottom
    for part in rest:
        if part.left < left:
            left = part.left
        if part.top < top:
            top = part.top
        if part.right > right:
            right = part.right
        if part.bottom > bottom:
            bottom = part.bottom
    return Edges(left, top, right, bottom)


def flow(texts: Iterable[str]) -> str:
    """Pieces as running text, with words put together again that a line end had cut."""
    found = ""
    for text in texts:
        if not found.endswith(CUT):
            found += f" {text}" if found else text
        elif "-" in found[:-1].rpartition(" ")[2] or not text[:1].islower():
            found = f"{found[:-1]}-{text}"  # a hyphen of the word's own: end-to-end, Open-Domain
        else:
            found = found[:-1] + text
    return found.replace(CUT, "-")
