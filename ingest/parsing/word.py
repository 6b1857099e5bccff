"""Word documents (docx, docm) straight from their XML, by local names, so that strict ones are read too."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace

from lxml import etree

from ingest.parsing import charts, markup
from ingest.parsing.blocks import Block, ParsedDocument, merged_lists, table
from ingest.parsing.grid import Grid
from ingest.parsing.markup import attribute, local
from ingest.parsing.styles import Numbering, Styles, is_concealed
from ingest.parsing.visibility import warning

DOCUMENT = "word/document.xml"
# What Word keeps beside the text or does not show: deleted text, field codes, the old copy of a drawing.
UNSEEN = frozenset(
    """
    del moveFrom delText instrText Fallback pPr rPr sectPr sdtPr tblPr tblGrid txbxContent
    """.split()  # noqa: SIM905 (one word per line would be a page)
)


def parse(data: bytes) -> ParsedDocument:
    """Headings, paragraphs, lists, code, tables, text boxes, charts. Raises Damaged, or LimitExceeded."""
    archive = markup.opened(data)
    root = markup.tree(markup.member(archive, main_part(archive)))
    reader = Reader(
        Styles(optional(archive, "word/styles.xml")), Numbering(optional(archive, "word/numbering.xml"))
    )
    reader.walk(root)
    for part in ("word/footnotes.xml", "word/endnotes.xml"):
        if (notes := optional(archive, part)) is not None:
            reader.walk(notes)
    pages = reader.page if reader.page > 1 else 0  # Word did not store where its pages end
    blocks = reader.blocks if pages else [replace(block, page=0) for block in reader.blocks]
    blocks += charts.drawn(archive, "word/charts/")
    core = optional(archive, "docProps/core.xml")
    title = "" if core is None else next((each.text or "" for each in core.iter("{*}title")), "")
    return ParsedDocument(
        tuple(merged_lists(blocks)), title=title, pages=pages, warnings=warning(reader.hidden)
    )


def main_part(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    return DOCUMENT if DOCUMENT in names or "word/document2.xml" not in names else "word/document2.xml"


def optional(archive: zipfile.ZipFile, name: str) -> etree._Element | None:
    """The root of a part that need not be there."""
    return markup.tree(markup.member(archive, name)) if name in archive.namelist() else None


class Reader:
    """Collects blocks from the body, and pages where Word left its marks."""

    def __init__(self, styles: Styles, numbering: Numbering) -> None:
        self.blocks: list[Block] = []
        self.page = 1
        self.hidden = 0
        self._styles = styles
        self._numbering = numbering
        self._shaded = 0  # depth of what may have a dark ground, where white letters can be read

    def walk(self, element: etree._Element) -> None:
        for child in element:
            name = local(child)
            if name == "p":
                self._paragraph(child)
            elif name == "tbl":
                self._table(child)
            elif name not in UNSEEN:
                self.walk(child)

    def _table(self, element: etree._Element) -> None:
        rows = list(rows_of(element))
        if len(rows) == 1 and len(list(cells(rows[0]))) == 1:
            self.walk(next(cells(rows[0])))  # a frame drawn around text
            return
        self._shaded += 1
        grid = Grid()
        tops: dict[int, str] = {}
        for row in rows:
            grid.row()
            column = 0
            for cell in cells(row):
                width, merged = cell_span(cell)
                text = " ".join(self.said(cell).split())
                # Word repeats a cell over several rows as empty ones that continue it.
                tops[column] = text = tops.get(column, "") if merged == "continue" and not text else text
                grid.cell(text, width=width)
                column += width
        self._shaded -= 1
        start = self.page
        self.page += breaks(element)
        if block := table(grid.finished(), page=start):
            self.blocks.append(block)

    def _paragraph(self, paragraph: etree._Element) -> None:
        style, numbered = "", None
        for mark in paragraph.iterfind("{*}pPr/*"):
            if local(mark) == "pStyle":
                style = attribute(mark, "val")
            elif local(mark) == "numPr":
                numbered = {local(each): attribute(each, "val") for each in mark}
        text = self.said(paragraph).strip("\n" if self._styles.is_code(style) else None)
        start = self.page
        self.page += breaks(paragraph)
        if text.strip():
            self._say(text, style, numbered, start)
        for box in paragraph.iter("{*}txbxContent"):
            if not any(local(above) == "Fallback" for above in box.iterancestors()):
                self._shaded += 1
                self.walk(box)
                self._shaded -= 1

    def _say(self, text: str, style: str, numbered: dict[str, str] | None, page: int) -> None:
        level = self._styles.heading_level(style)
        number, depth = self._numbering.next(numbered or self._styles.numbering(style))
        if level:
            self.blocks.append(Block("heading", f"{number or ''} {text}".strip(), level=level, page=page))
        elif self._styles.is_code(style):
            above = self.blocks[-1] if self.blocks else None
            if above and above.kind == "code":  # a listing is one paragraph per line
                text = f"{self.blocks.pop().text}\n{text}"
            self.blocks.append(Block("code", text, page=page))
        elif number is not None or "list" in style.lower():
            item = f"{'  ' * depth}{number or '-'} {text}"
            self.blocks.append(Block("list", item, page=page))
        else:
            self.blocks.append(Block("text", text, page=page))

    def said(self, element: etree._Element) -> str:
        """The text in an element as Word shows it, text boxes left out."""
        return "".join(self._spoken(element))

    def _spoken(self, element: etree._Element) -> Iterator[str]:
        for child in element:
            name = local(child)
            if name == "t":
                yield child.text or ""
            elif name in ("tab", "ptab", "cr", "br"):
                yield "\n" if name in ("cr", "br") else " "
            elif name == "noBreakHyphen":
                yield "-"
            elif name == "sym":
                yield " "
            elif name == "r" and is_concealed(child, self._styles, on_ground=bool(self._shaded)):
                self.hidden += any((each.text or "").strip() for each in child.iterfind("{*}t"))
            elif name not in UNSEEN:
                yield from self._spoken(child)
                if name in ("p", "tc"):
                    yield " "


def rows_of(grid: etree._Element) -> Iterator[etree._Element]:
    for child in grid:
        if local(child) == "tr":
            yield child
        elif local(child) in ("sdt", "sdtContent", "ins", "customXml"):
            yield from rows_of(child)


def cells(row: etree._Element) -> Iterator[etree._Element]:
    for child in row:
        if local(child) == "tc":
            yield child
        elif local(child) in ("sdt", "sdtContent", "customXml"):
            yield from cells(child)


def cell_span(cell: etree._Element) -> tuple[int, str]:
    """How many columns a cell takes, and `continue` when it belongs to the cell above."""
    width, merged = 1, ""
    for mark in cell.iterfind("{*}tcPr/*"):
        if local(mark) == "gridSpan" and attribute(mark, "val").isdecimal():
            width = int(attribute(mark, "val")[:4])
        elif local(mark) == "vMerge":
            merged = attribute(mark, "val") or "continue"
    return width, merged


def breaks(element: etree._Element) -> int:
    """How many pages end inside an element."""
    return sum(1 for _ in element.iter("{*}lastRenderedPageBreak"))
