"""Lines, headings, paragraphs and tables from placed characters. Pure: knows no PDF library."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.parsing.blocks import Block, table

CELL_GAP = 1.1  # of the font size: wider gaps inside a line separate cells
HEADING_SIZE = 1.12  # of the body's font size
MAX_HEADING = 150
BULLET = re.compile(r"^\s*(?:[•◦▪‣●○■·–—*-]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+\S")


class Glyph(NamedTuple):
    """One character and where it stands, in points from the lower left corner."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    bold: bool = False


@dataclass(slots=True)
class Line:
    """A printed line. `cells` are its parts between wide gaps, with the left edge of each."""

    text: str
    left: float = 0
    bottom: float = 0
    right: float = 0
    top: float = 0
    size: float = 0
    bold: bool = False
    cells: list[tuple[float, str]] = field(default_factory=list)
    margin: bool = False  # near the upper or lower edge of the page


@dataclass(frozen=True, slots=True)
class Style:
    """Font sizes of a document: the body's, and those of headings from large to small."""

    body: float
    headings: tuple[float, ...]


def lines(glyphs: Iterable[Glyph], *, height: float) -> list[Line]:
    """The lines of a page in stream order; parts that stand side by side become one line."""
    found: list[Line] = []
    row: list[Glyph] = []
    for glyph in (*glyphs, Glyph("\n", 0, 0, 0, 0)):
        if glyph.text != "\n":
            row.append(glyph)
            continue
        line = line_of(row)
        row = []
        if line is None:
            continue
        line.margin = line.bottom > 0.92 * height or line.top < 0.08 * height
        if found and beside(found[-1], line):
            found[-1] = joined(found[-1], line)
        else:
            found.append(line)
    return found


def line_of(row: Sequence[Glyph]) -> Line | None:
    """One line from its characters; None if it is blank."""
    text = "".join(glyph.text for glyph in row).strip()
    inked = [glyph for glyph in row if not glyph.text.isspace() and glyph.top > glyph.bottom]
    if not text or not inked:
        return None
    size = round(sorted(glyph.top - glyph.bottom for glyph in inked)[len(inked) // 2], 1)
    first = inked[0]
    line = Line(
        text,
        left=min(glyph.left for glyph in inked),
        bottom=min(glyph.bottom for glyph in inked),
        right=max(glyph.right for glyph in inked),
        top=max(glyph.top for glyph in inked),
        size=size,
        bold=sum(glyph.bold for glyph in inked) > 0.8 * len(inked),
    )
    # Upright text or text that runs right to left has no cells we could tell from gaps.
    if line.top - line.bottom > 3 * size or any(after.left < first.left - size for after in inked):
        line.cells = [(line.left, text)]
        return line
    line.cells = cells(row, size)
    return line


def cells(row: Sequence[Glyph], size: float) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    start, text, end = 0.0, "", 0.0
    for glyph in row:
        if glyph.text.isspace():
            text += " " if text else ""
            continue
        if text.strip() and glyph.left - end > CELL_GAP * size:
            found.append((start, text.strip()))
            text = ""
        if not text.strip():
            start, text = glyph.left, ""
        text += glyph.text
        end = glyph.right
    if text.strip():
        found.append((start, text.strip()))
    return found


def beside(one: Line, other: Line) -> bool:
    """Whether `other` continues the row of `one`: same height on the page, further right."""
    overlap = min(one.top, other.top) - max(one.bottom, other.bottom)
    return overlap > 0.6 * min(one.top - one.bottom, other.top - other.bottom) and other.left >= one.right - 1


def joined(one: Line, other: Line) -> Line:
    return Line(
        f"{one.text} {other.text}",
        left=one.left,
        bottom=min(one.bottom, other.bottom),
        right=other.right,
        top=max(one.top, other.top),
        size=max(one.size, other.size),
        bold=one.bold and other.bold,
        cells=one.cells + other.cells,
        margin=one.margin,
    )


def skeleton(line: Line) -> str:
    """A line near the edge of a page with its numbers blanked, so that footers of all pages are equal."""
    return re.sub(r"\d+", "#", line.text.strip().lower()) if line.margin else ""


def furniture(pages: Sequence[Sequence[Line]]) -> set[str]:
    """Skeletons of headers and footers: at the edge of at least three pages and of a third of all."""
    seen = Counter(text for page in pages for text in {skeleton(line) for line in page} if text)
    return {text for text, count in seen.items() if count >= max(3, len(pages) / 3)}


def style(pages: Sequence[Sequence[Line]]) -> Style:
    """The font size that most characters have, and the larger ones."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page:
            sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    return Style(body, tuple(sorted((size for size in sizes if size > HEADING_SIZE * body), reverse=True)))


def blocks(page: Sequence[Line], style: Style, *, number: int) -> Iterator[Block]:
    """Headings, paragraphs, lists and tables of one page."""
    index = 0
    while index < len(page):
        rows = table_at(page, index)
        if rows:
            if block := table([[text for _, text in line.cells] for line in rows], page=number):
                yield block
            index += len(rows)
            continue
        line = page[index]
        index += 1
        if level := heading_level(line, style):
            yield Block("heading", line.text, level=level, page=number)
            continue
        paragraph = [line]
        while index < len(page) and continues(page[index - 1], page[index], style):
            if table_at(page, index):
                break
            paragraph.append(page[index])
            index += 1
        yield Block("list" if BULLET.match(line.text) else "text", flow(paragraph), page=number)


def table_at(page: Sequence[Line], index: int) -> Sequence[Line]:
    """The rows of a table that starts here: lines of several cells whose left edges line up."""
    end = index
    while (
        end < len(page) and len(page[end].cells) >= 2 and (end == index or aligned(page[end - 1], page[end]))
    ):
        end += 1
    rows = page[index:end]
    wide = sum(1 for line in rows if len(line.cells) >= 3)
    return rows if len(rows) >= 3 or (len(rows) == 2 and wide == 2) else ()


def aligned(one: Line, other: Line) -> bool:
    """Whether at least one cell after the first, or all of few, start or sit at the same place."""
    tolerance = 2.5 * max(one.size, other.size, 1)
    starts = [left for left, _ in one.cells[1:]]
    return any(abs(left - start) < tolerance for left, _ in other.cells[1:] for start in starts)


def heading_level(line: Line, style: Style) -> int:
    """1 to 6, or 0 for no heading."""
    text = line.text.strip()
    if len(text) > MAX_HEADING or len(line.cells) > 2 or not any(character.isalpha() for character in text):
        return 0
    if line.size in style.headings:
        return min(6, style.headings.index(line.size) + 1)
    ends = text.endswith((".", ",", ";", ":"))
    if line.bold and len(text) < 90 and not ends and not BULLET.match(text):
        return min(6, len(style.headings) + 1)
    return 0


def continues(above: Line, line: Line, style: Style) -> bool:
    """Whether a line belongs to the paragraph of the one above."""
    if (
        heading_level(line, style)
        or BULLET.match(line.text)
        or abs(line.size - above.size) > 0.2 * above.size
    ):
        return False
    gap = above.bottom - line.top
    return -1.5 * above.size < gap < 0.6 * above.size


def flow(paragraph: Sequence[Line]) -> str:
    """The text of a paragraph with words put together that a line end had cut."""
    text = ""
    for line in paragraph:
        if text.endswith("\u00ad"):
            text = text[:-1] + line.text
        else:
            text += (" " if text else "") + line.text
    return text
