"""Lines, headings, paragraphs and lists from placed words. Pure: knows no PDF library."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from ingest.parsing.blocks import Block, BlockKind, table
from ingest.parsing.tables import aligned, possible_starts
from ingest.parsing.words import Cell, Line, Table, Word, around, flow
from rag.types import Box

CELL_GAP = 0.9  # of the font size: wider gaps inside a line separate cells
MARKER_GAP = 3.0  # of the font size: the widest gap between a bullet and its text
HEADING_SIZE = 1.12  # of the body's font size
SAME_SIZE = 0.04  # sizes that differ by less are one
MAX_HEADING = 150
MAX_HEADING_LINES = 3
MARGIN = 0.08  # of the page's height: where headers and footers stand
BULLET = re.compile(r"^\s*(?:[•◦▪‣●○■·–—*-]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+\S")
MARKER = re.compile(r"^(?:[•◦▪‣●○■·–—*-]|\[\d+\]|\(?\d{1,2}[.)]|\(?[a-z][.)]|\d{1,2}(?:\.\d{1,2})*\.?)$")
CURRENCY = frozenset("$€£¥")


@dataclass
class Style:
    """What is known of a document's looks so far: characters by font size, and how many are bold."""

    sizes: Counter[float] = field(default_factory=Counter)
    bold: int = 0
    body: float = 0.0
    headings: tuple[float, ...] = ()  # sizes above the body's, from small to large

    def learn(self, pages: Iterable[Sequence[Line | Table]]) -> None:
        """Take in the lines of these pages."""
        for page in pages:
            for line in page:
                if isinstance(line, Line):
                    self.sizes[line.size] += len(line.text)
                    self.bold += len(line.text) if line.bold else 0
        if self.sizes:
            self.body = self.sizes.most_common(1)[0][0]
            distinct: list[float] = []
            for size in sorted(size for size in self.sizes if size > HEADING_SIZE * self.body):
                if not distinct or size > (1 + SAME_SIZE) * distinct[-1]:
                    distinct.append(size)
            self.headings = tuple(distinct)

    @property
    def bold_is_rare(self) -> bool:
        """Whether bold can be a sign of anything."""
        return self.bold < 0.4 * self.sizes.total()

    def level(self, size: float) -> int:
        """1 to 6 for a heading of this size; one as small as the body comes below all others."""
        larger = len(self.headings) - bisect_left(self.headings, size * (1 + SAME_SIZE))
        return min(6, larger + 1)


def lines(rows: Iterable[Sequence[Word] | Table], *, height: float) -> list[Line | Table]:
    """The lines of a page in stream order; parts that stand side by side become one line. Tables stay."""
    found: list[Line | Table] = []
    row: Sequence[Word] = ()
    for part in rows:
        if row and not isinstance(part, Table) and beside(row, part):
            row = [*row, *part]
            continue
        if row:
            found.append(line_of(row, height))
        row = () if isinstance(part, Table) else part
        if isinstance(part, Table):
            found.append(part)
    if row:
        found.append(line_of(row, height))
    return found


def beside(one: Sequence[Word], other: Sequence[Word]) -> bool:
    """Whether `other` continues the row of `one`: same height on the page, further right."""
    last, first = one[-1], other[0]
    overlap = min(last.bottom, first.bottom) - max(last.top, first.top)
    smaller = min(last.bottom - last.top, first.bottom - first.top)
    return overlap > 0.6 * smaller and first.left >= last.right - 1


def line_of(words: Sequence[Word], height: float = 0.0) -> Line:
    """One line from its words."""
    face = words[0].face
    size, bold, upright = face.size, face.bold, face.upright
    if any(word.face is not face for word in words):
        sizes: Counter[float] = Counter()
        for word in words:
            sizes[word.face.size] += len(word.text)
        size = sizes.most_common(1)[0][0]
        length = sum(sizes.values())
        bold = sum(len(word.text) for word in words if word.face.bold) > 0.8 * length
        upright = sum(len(word.text) for word in words if word.face.upright) > 0.5 * length
    parts = cells(words, size, whole=not upright)
    text, *edges = parts[0]
    if len(parts) > 1:
        text, edges = " ".join(part.text for part in parts), [*around(parts)]
    left, top, right, bottom = edges
    margin = bottom < MARGIN * height or top > (1 - MARGIN) * height
    return Line(parts, text, left, top, right, bottom, size, bold, upright, margin)


def cells(words: Sequence[Word], size: float, *, whole: bool = False) -> list[Cell]:
    """The parts of a line between wide gaps; a bullet or a currency sign belongs to what it stands before."""
    groups: list[list[Word]] = [[words[0]]]
    for word in words[1:]:
        before = groups[-1][-1]
        # Text that runs from right to left has its next word on the left.
        gap = max(word.left - before.right, before.left - word.right)
        if gap > CELL_GAP * size and not whole and before.text not in CURRENCY:
            groups.append([word])
        else:
            groups[-1].append(word)
    if len(groups) == 2 and len(groups[0]) == 1 and MARKER.match(groups[0][0].text):
        near = groups[1][0].left - groups[0][0].right < MARKER_GAP * size
        groups = [groups[0] + groups[1]] if near else groups
    return [Cell.of(group) for group in groups]


def skeleton(line: Line) -> str:
    """A line near the edge of a page without its numbers, and how high it stands: equal for all footers."""
    if not line.margin:
        return ""
    return f"{round(line.top / 3)} {re.sub(r'[0-9]+', '#', line.text.strip().lower())}"


def furniture(pages: Sequence[Sequence[Line | Table]]) -> set[str]:
    """Skeletons of headers and footers: the same words at the same height of at least three pages."""
    seen = Counter(
        text for page in pages for text in {skeleton(line) for line in page if isinstance(line, Line)} if text
    )
    return {text for text, count in seen.items() if count >= 3}


def blocks(page: Sequence[Line | Table], style: Style, *, number: int) -> Iterator[Block]:
    """Headings, paragraphs, lists and tables of one page."""
    index, starts = 0, possible_starts(page)
    while index < len(page):
        item = page[index]
        found, count = (item, 1) if isinstance(item, Table) else (None, 0)
        if index in starts:
            found, count = aligned(page, index)
        if found:
            if block := table(found.rows, page=number):
                yield boxed(block, [found])
            index += count
        elif count := heading_at(page, index, style):
            run = [line for line in page[index : index + count] if isinstance(line, Line)]
            text = flow(line.text for line in run)
            yield boxed(Block("heading", text, level=style.level(run[0].size), page=number), run)
            index += count
        else:
            run = paragraph_at(page, index, style, starts)
            kind: BlockKind = "list" if BULLET.match(run[0].text) else "text"
            yield boxed(Block(kind, flow(line.text for line in run), page=number), run)
            index += len(run)


def boxed(block: Block, parts: Sequence[Line | Table]) -> Block:
    """The block with the box around its parts."""
    left, top, right, bottom = (round(edge, 1) for edge in around(parts))
    return replace(block, boxes=(Box(block.page, left, top, right, bottom),))


def merged(one: Block, other: Block) -> Block:
    """Two blocks of one page as one, a line each."""
    box = Box(one.page, *around([*one.boxes, *other.boxes]))
    return replace(one, text=f"{one.text}\n{other.text}", boxes=(box,))


def heading_at(page: Sequence[Line | Table], index: int, style: Style) -> int:
    """How many lines the heading that starts here has; 0 for none."""
    first = page[index]
    if not isinstance(first, Line) or not stands_out(first, style):
        return 0
    end = index + 1
    while end < len(page):
        line = page[end]
        if not isinstance(line, Line) or not alike(first, line) or not 0 <= below(page[end - 1], line) < 0.7:
            break
        end += 1
    run = [line for line in page[index:end] if isinstance(line, Line)]
    text = " ".join(line.text for line in run)
    large = first.size > HEADING_SIZE * style.body
    if len(run) > MAX_HEADING_LINES or len(text) > MAX_HEADING or not any(map(str.isalpha, text)):
        return 0
    if large:
        return len(run)
    ends = text.rstrip().endswith((".", ",", ";", ":"))
    numbered = re.match(r"\d+(\.\d+)+\s|\d+\.?\s+[A-Z]", text)
    if ends or (BULLET.match(text) and not numbered):
        return 0
    # A bold line in the midst of a paragraph is emphasis.
    above = page[index - 1] if index else None
    if isinstance(above, Line) and not stands_out(above, style) and -0.1 <= below(above, first) < 0.25:
        return 0
    return len(run)


def stands_out(line: Line, style: Style) -> bool:
    """Whether a line is larger than the body, or bold where the body is not."""
    if len(line.cells) > 1 or not line.upright or line.size < 0.95 * style.body:
        return False
    return line.size > HEADING_SIZE * style.body or (line.bold and style.bold_is_rare)


def alike(one: Line, other: Line) -> bool:
    return abs(one.size - other.size) <= SAME_SIZE * one.size and one.bold == other.bold


def below(above: Line | Table, line: Line) -> float:
    """The gap between two lines, in font sizes of the lower one; negative if it does not stand below."""
    if line.right < above.left or line.left > above.right:
        return -9.0
    return (line.top - above.bottom) / max(line.size, 1.0) if line.top > above.top + 0.3 * line.size else -9.0


def paragraph_at(page: Sequence[Line | Table], index: int, style: Style, starts: Set[int]) -> list[Line]:
    """The lines of the paragraph or list item that starts here, at least one."""
    first = page[index]
    assert isinstance(first, Line)
    run = [first]
    for position in range(index + 1, len(page)):
        line = page[position]
        if not isinstance(line, Line) or not continues(run[-1], line, run[-2] if len(run) > 1 else None):
            break
        if heading_at(page, position, style) or (position in starts and aligned(page, position)[0]):
            break
        run.append(line)
    return run


def continues(above: Line, line: Line, before: Line | None) -> bool:
    """Whether a line belongs to the paragraph of the one above it; `before`: the one above that."""
    if BULLET.match(line.text) or abs(line.size - above.size) > 0.2 * above.size:
        return False
    gap = line.top - above.bottom
    if not -1.5 * above.size < gap < 0.6 * above.size or (line.top < above.top and line.left < above.left):
        return False
    # Within a paragraph lines are evenly spaced.
    return before is None or gap - (above.top - before.bottom) < 0.3 * above.size
