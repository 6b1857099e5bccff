"""HTML as a stream of tags: no tree, so no depth of nesting can hurt."""

from __future__ import annotations

from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.blocks import Block, BlockKind, ParsedDocument, merged_lists, table
from ingest.parsing.encoding import decode
from ingest.parsing.grid import Grid
from ingest.parsing.visibility import WHITE, Colour, alike, colours, is_gone, squeezed, warning
from rag.errors import Damaged

SKIPPED = frozenset("script style template noscript svg head select object iframe".split())  # noqa: SIM905
FLOWING = frozenset(
    """
    a abbr b bdi bdo cite code data del dfn em font i ins kbd label mark q s samp small span strong sub sup
    time tt u var wbr
    """.split()  # noqa: SIM905 (one word per line would be a page)
)
VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())  # noqa: SIM905
HEADINGS = {f"h{level}": level for level in range(1, 7)}
PAGE = ("html", "body")


@dataclass
class Page:
    """What a page shows. `hidden`: how many passages it says and does not show."""

    blocks: list[Block]
    title: str = ""
    hidden: int = 0


@dataclass
class OpenTable:
    """A table whose end is still to come, and the cell that is being filled."""

    grid: Grid = field(default_factory=Grid)
    cell: tuple[int, int] | None = None
    before: list[str] = field(default_factory=list)  # what the cell around this table said before it


class Reader:
    """Collects blocks from the events of lxml's parser."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.title = ""
        self.hidden = 0
        self._text: list[str] = []
        self._skipping = ""
        self._depth = 0
        self._unseen = False  # what is skipped now is text that the page hides
        self._in_title = False
        self._heading = 0
        self._code = 0
        self._lists: list[int] = []  # the number of the last item; of a list without numbers below zero
        self._items: list[str] = []  # the mark to put before the next text, "" once it stands there
        self._tables: list[OpenTable] = []
        self._level = 0
        self._paint: list[tuple[int, Colour | None, Colour | None]] = []
        self._has_sheet = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._level += 1
        if self._skipping:
            self._depth += tag == self._skipping
            self._in_title = tag == "title"
            self._has_sheet = self._has_sheet or is_style_sheet(tag, attributes)
            return
        style, gone = "", False
        if attributes:  # most tags have none
            style = squeezed(attributes["style"]) if "style" in attributes else ""
            gone = "hidden" in attributes or (style != "" and is_gone(style))
            gone = gone and tag not in VOID and tag not in PAGE
        if gone or tag in SKIPPED:
            self._skipping, self._depth, self._unseen = tag, 1, gone
            self._has_sheet = self._has_sheet or tag == "style"
            return
        if attributes and (style or "bgcolor" in attributes or "color" in attributes):
            self._repaint(style, attributes)
        if tag not in FLOWING:
            self._open(tag, attributes)

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in ("td", "th"):
            if self._tables:
                self._finish_cell()
                self._tables[-1].cell = (span(attributes, "colspan"), span(attributes, "rowspan"))
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._text.append("\n")
        elif tag == "tr" and self._tables:
            self._finish_cell()
            self._tables[-1].grid.row()
        elif tag == "table":
            self._open_table()
        elif tag == "img" and attributes.get("alt"):
            self._text.append(f" {attributes['alt']} ")
        else:
            self._break()
            self._heading = HEADINGS.get(tag, self._heading)
            self._code += tag == "pre"
            if tag in ("ul", "ol"):
                self._lists.append(span(attributes, "start") - 1 if tag == "ol" else -1 << 40)
            elif tag == "li":
                self._items.append(self._mark())

    def end(self, tag: str) -> None:
        self._level -= 1
        while self._paint and self._paint[-1][0] > self._level:
            self._paint.pop()
        if tag == "title":
            self._in_title = False
        if self._skipping:
            self._depth -= tag == self._skipping
            if self._depth == 0:
                self._skipping = ""
        elif tag in FLOWING:
            return
        elif tag in ("td", "th"):
            self._finish_cell()
        elif tag == "table" and self._tables:
            self._close_table()
        elif tag not in ("tr", "br", "title"):
            self._break()
            self._heading = 0 if tag in HEADINGS else self._heading
            self._code -= tag == "pre" and self._code > 0
            if tag == "li" and self._items:
                self._items.pop()
            elif tag in ("ul", "ol") and self._lists:
                self._lists.pop()

    def data(self, text: str) -> None:
        if self._in_title:
            self.title += text
        elif self._skipping:
            if self._unseen and text.strip():
                self.hidden, self._unseen = self.hidden + 1, False
        elif self._paint and not text.isspace() and self._blends():
            self.hidden += 1
        else:
            self._text.append(text)

    def comment(self, text: str) -> None:
        """Comments are not shown."""

    def close(self) -> None:
        while self._tables:
            self._close_table()
        self._break()

    def _repaint(self, style: str, attributes: dict[str, str]) -> None:
        text, background = colours(style, attributes)
        if text or background:
            _, text_above, background_above = self._paint[-1] if self._paint else (0, None, None)
            self._paint.append((self._level, text or text_above, background or background_above))

    def _blends(self) -> bool:
        """Whether text has the colour of what is behind it; a page without a style sheet is white."""
        _, text, background = self._paint[-1]
        background = background or (None if self._has_sheet else WHITE)
        return text is not None and background is not None and alike(text, background)

    def _mark(self) -> str:
        """What stands before an item: a dash or its number, set in by how deep the list is."""
        indent = "  " * len(self._items)
        if not self._lists or self._lists[-1] < 0:
            return f"{indent}- "
        self._lists[-1] += 1
        return f"{indent}{self._lists[-1]}. "

    def _break(self) -> None:
        if self._tables:
            self._text.append(" ")
            return
        if not self._text:
            return
        raw, self._text = "".join(self._text), []
        text = raw.strip("\n") if self._code else flattened(raw)
        if not text.strip():
            return
        kind: BlockKind = "list" if self._items else "text"
        if self._heading:
            kind = "heading"
        elif self._code:
            kind = "code"
        if kind == "list":
            mark, self._items[-1] = self._items[-1], ""
            text = (mark or "  " * len(self._items)) + text.replace("\n", "\n" + "  " * len(self._items))
        self.blocks.append(Block(kind, text, level=self._heading))

    def _open_table(self) -> None:
        if not self._tables:
            self._break()
        self._tables.append(OpenTable(before=self._text))
        self._text = []

    def _finish_cell(self) -> None:
        """Put the text since the last cell into its cell."""
        if not self._tables:
            return
        open_table, pieces = self._tables[-1], self._text
        if not pieces and not open_table.cell:
            return
        self._text = []
        text = pieces[0] if len(pieces) == 1 else "".join(pieces)
        if open_table.cell:
            width, height = open_table.cell
            open_table.grid.cell(text, width=width, height=height)
        elif text.strip():  # a caption, or text where no cell is
            open_table.grid.row()
            open_table.grid.cell(text)
        open_table.cell = None

    def _close_table(self) -> None:
        self._finish_cell()
        closed = self._tables.pop()
        rows, self._text = closed.grid.finished(), closed.before
        if not self._tables and max((len(row) for row in rows), default=0) > 1:
            if block := table(rows):
                self.blocks.append(block)
            return
        rows = [[" ".join(cell.split()) for cell in row] for row in rows]
        if self._tables:
            # A table inside a cell reads as the text of that cell.
            inner = " ; ".join(" ".join(filter(None, row)) for row in rows if any(row))
            self._text.append(f" {inner} ")
            return
        self.blocks += [Block("text", row[0]) for row in rows if row and row[0]]


def parse(data: bytes | str) -> ParsedDocument:
    """The blocks of an HTML page. Raises Damaged for bytes that are no text."""
    page = read(data)
    return ParsedDocument(tuple(page.blocks), title=page.title, warnings=warning(page.hidden))


def read(data: bytes | str) -> Page:
    """What an HTML page shows. Raises Damaged for bytes that are no text."""
    text = data if isinstance(data, str) else decode(data)
    if text is None:
        raise Damaged("the page is not text in any known encoding")
    if not text.strip():
        return Page([])
    reader = Reader()
    parser = etree.HTMLParser(target=reader, huge_tree=True, encoding="utf-8")  # type: ignore[arg-type]
    try:
        parser.feed(text.encode("utf-8", "replace"))
        parser.close()
    except etree.LxmlError as error:
        raise Damaged(f"the page cannot be read: {error}") from None
    return Page(merged_lists(reader.blocks), " ".join(reader.title.split()), reader.hidden)


def is_style_sheet(tag: str, attributes: dict[str, str]) -> bool:
    return tag == "style" or (tag == "link" and "stylesheet" in attributes.get("rel", "").lower())


def span(attributes: dict[str, str], name: str) -> int:
    """A small number from an attribute; 1 for anything else."""
    if name not in attributes:
        return 1
    value = attributes[name]
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 6 else 1


def flattened(raw: str) -> str:
    """White space as a browser shows it; a <br> stays a line end."""
    if "\n" not in raw:
        return " ".join(raw.split())
    return "\n".join(filter(None, (" ".join(line.split()) for line in raw.split("\n"))))
