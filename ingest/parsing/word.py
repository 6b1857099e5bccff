"""Word documents (docx, docm) straight from their XML, by local names, so that strict ones are read too."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from ingest.parsing import html, markup
from ingest.parsing.blocks import Block, ParsedDocument, table
from ingest.parsing.markup import local

DOCUMENT = "word/document.xml"
STYLES = "word/styles.xml"
# What Word keeps beside the text or does not show: deleted text, field codes, the old copy of a drawing.
UNSEEN = {
    "del",
    "moveFrom",
    "delText",
    "instrText",
    "Fallback",
    "pPr",
    "rPr",
    "sectPr",
    "sdtPr",
    "tblPr",
    "tblGrid",
}
HEADING = re.compile(r"(?:heading|überschrift|titre|kop|título|rubrik)\s*(\d)", re.IGNORECASE)


def parse(data: bytes) -> ParsedDocument:
    """Headings, paragraphs, lists, tables and text boxes. Raises Damaged, or LimitExceeded for a zip bomb."""
    archive = markup.opened(data)
    names = set(archive.namelist())
    root = markup.tree(markup.member(archive, DOCUMENT))
    levels = heading_levels(markup.tree(markup.member(archive, STYLES))) if STYLES in names else {}
    reader = Reader(levels)
    reader.walk(root)
    for part in ("word/footnotes.xml", "word/endnotes.xml"):
        if part in names:
            reader.walk(markup.tree(markup.member(archive, part)))
    pages = reader.page if reader.page > 1 else 0  # Word did not store where its pages end
    blocks = reader.blocks if pages else [Block(b.kind, b.text, b.level, 0, b.rows) for b in reader.blocks]
    title = ""
    if "docProps/core.xml" in names:
        core = markup.tree(markup.member(archive, "docProps/core.xml"))
        title = next((each.text or "" for each in core.iter("{*}title")), "")
    return ParsedDocument(tuple(html.merged_lists(blocks)), title=title, pages=pages)


def heading_levels(styles: etree._Element) -> dict[str, int]:
    """Style id -> heading level, by the style's outline level, its name, or the style it is based on."""
    levels: dict[str, int] = {}
    based: dict[str, str] = {}
    for style in styles.iter("{*}style"):
        identity = attribute(style, "styleId")
        for child in style.iter():
            name = local(child)
            if name == "outlineLvl" and attribute(child, "val").isdecimal():
                levels[identity] = int(attribute(child, "val")) + 1
            elif name == "name" and (found := HEADING.match(attribute(child, "val"))):
                levels.setdefault(identity, int(found.group(1)))
            elif name == "name" and attribute(child, "val").lower() == "title":
                levels.setdefault(identity, 1)
            elif name == "basedOn":
                based[identity] = attribute(child, "val")
    for identity, parent in based.items():
        if identity not in levels and parent in levels:
            levels[identity] = levels[parent]
    return {identity: level for identity, level in levels.items() if level <= 9}


class Reader:
    """Collects blocks from the body, and pages where Word left its marks."""

    def __init__(self, levels: dict[str, int]) -> None:
        self.blocks: list[Block] = []
        self.page = 1
        self._levels = levels

    def walk(self, element: etree._Element) -> None:
        for child in element:
            name = local(child)
            if name == "p":
                self._paragraph(child)
            elif name == "tbl":
                rows = [[" ".join(said(cell).split()) for cell in cells(row)] for row in rows_of(child)]
                start = self.page
                self.page += breaks(child)
                if len(rows) == 1 and len(rows[0]) == 1:
                    self.walk(child)  # a frame drawn around text
                elif block := table(rows, page=start):
                    self.blocks.append(block)
            elif name not in UNSEEN:
                self.walk(child)

    def _paragraph(self, paragraph: etree._Element) -> None:
        style, numbered = "", False
        for mark in paragraph.iterfind("{*}pPr/*"):
            style = attribute(mark, "val") if local(mark) == "pStyle" else style
            numbered = numbered or local(mark) == "numPr"
        text = said(paragraph).strip()
        start = self.page
        self.page += breaks(paragraph)
        level = self._levels.get(style, 0)
        if text and level:
            self.blocks.append(Block("heading", text, level=level, page=start))
        elif text:
            listed = numbered or "list" in style.lower()
            self.blocks.append(
                Block("list" if listed else "text", f"- {text}" if listed else text, page=start)
            )
        for box in paragraph.iter("{*}txbxContent"):
            if not any(local(above) == "Fallback" for above in box.iterancestors()):
                self.walk(box)


def said(element: etree._Element) -> str:
    """The text in an element as Word shows it, text boxes left out."""
    return "".join(spoken(element))


def spoken(element: etree._Element) -> Iterator[str]:
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
        elif name == "checkBox" or name == "checkbox":
            yield ""
        elif name not in UNSEEN and name != "txbxContent":
            yield from spoken(child)
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


def breaks(element: etree._Element) -> int:
    """How many pages end inside an element."""
    return sum(1 for _ in element.iter("{*}lastRenderedPageBreak"))


def attribute(element: etree._Element, name: str) -> str:
    """The value of an attribute whatever its namespace."""
    return next(
        (str(value) for key, value in element.attrib.items() if etree.QName(key).localname == name), ""
    )
