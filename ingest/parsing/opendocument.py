"""OpenDocument text and presentations (odt, odp), by the local names of their XML."""

from __future__ import annotations

from lxml import etree

from ingest.parsing.blocks import Block, ParsedDocument, merged_lists, table
from ingest.parsing.grid import MAX_SPAN, Grid
from ingest.parsing.markup import attribute, local, member, opened, tree
from ingest.parsing.visibility import warning

UNSEEN = {"tracked-changes", "annotation", "notes", "forms", "sequence-decls", "event-listeners", "ruby-text"}
INLINE_UNSEEN = UNSEEN | {"text-box", "note", "table", "list"}
CODE_STYLES = ("preformatted", "code", "source")


def parse(data: bytes) -> ParsedDocument:
    """Headings, paragraphs, lists, code and tables of an odt or odp. Raises Damaged, or LimitExceeded."""
    archive = opened(data)
    root = tree(member(archive, "content.xml"))
    styles = tree(member(archive, "styles.xml")) if "styles.xml" in archive.namelist() else None
    reader = Reader(*((styles, root) if styles is not None else (root,)))
    reader.walk(root)
    title = ""
    if "meta.xml" in archive.namelist():
        meta = tree(member(archive, "meta.xml"))
        title = next((each.text or "" for each in meta.iter("{*}title")), "")
    return ParsedDocument(
        tuple(merged_lists(reader.blocks)), title=title, pages=reader.page, warnings=warning(reader.hidden)
    )


class Reader:
    """Collects blocks from content.xml."""

    def __init__(self, *style_sheets: etree._Element) -> None:
        self.blocks: list[Block] = []
        self.page = 0
        self.hidden = 0
        self._hidden_styles: set[str] = set()
        self._code_styles: set[str] = set()
        for sheet in style_sheets:
            for style in sheet.iter("{*}style"):
                self._learn(style)

    def _learn(self, style: etree._Element) -> None:
        name, parent = attribute(style, "name"), attribute(style, "parent-style-name")
        called = f"{name} {parent}".lower()
        if parent in self._code_styles or any(word in called for word in CODE_STYLES):
            self._code_styles.add(name)
        if any(attribute(each, "display") == "none" for each in style.iterfind("{*}text-properties")):
            self._hidden_styles.add(name)

    def walk(self, element: etree._Element, depth: int = 0) -> None:
        """`depth`: how many lists the element is in."""
        fresh = True
        for child in element:
            name = local(child)
            if name in UNSEEN:
                continue
            if name == "page":
                self.page += 1
                self.walk(child, depth)
            elif name == "h":
                level = attribute(child, "outline-level")
                self._add(Block("heading", self.said(child), int(level) if level.isdecimal() else 1))
            elif name == "frame" and attribute(child, "class") == "title":
                self._add(Block("heading", " ".join(self.said(each) for each in child.iter("{*}p")), 1))
            elif name == "p":
                self._paragraph(child, depth, fresh)
                fresh = False
            elif name == "table":
                if block := table(self._rows(child), page=self.page):
                    self.blocks.append(block)
            else:
                self.walk(child, depth + (name == "list"))

    def _paragraph(self, paragraph: etree._Element, depth: int, fresh: bool) -> None:
        text = self.said(paragraph)
        if depth:
            mark = "- " if fresh else "  "
            self._add(Block("list", "  " * (depth - 1) + mark + text if text else ""))
        elif attribute(paragraph, "style-name") in self._code_styles:
            above = self.blocks[-1] if self.blocks else None
            if above and above.kind == "code":  # a listing is one paragraph per line
                text = f"{self.blocks.pop().text}\n{text}"
            self._add(Block("code", text))
        else:
            self._add(Block("text", text))
        for frame in paragraph.iter("{*}text-box"):
            self.walk(frame)

    def _add(self, block: Block) -> None:
        if block.text.strip():
            self.blocks.append(Block(block.kind, block.text, block.level, self.page))

    def _rows(self, element: etree._Element) -> list[list[str]]:
        grid = Grid()
        for row in element.iter("{*}table-row"):
            grid.row()
            for cell in row.iterfind("{*}table-cell"):
                text = " ".join(self.said(each) for each in cell.iter("{*}p", "{*}h"))
                for _ in range(min(number(cell, "number-columns-repeated"), MAX_SPAN if text else 50)):
                    width, height = (
                        number(cell, "number-columns-spanned"),
                        number(cell, "number-rows-spanned"),
                    )
                    grid.cell(text, width=width, height=height)
        return grid.finished()

    def said(self, element: etree._Element) -> str:
        """The text of an element with spaces and line breaks, without notes, comments and text boxes."""
        return "".join(self._spoken(element)).strip()

    def _spoken(self, element: etree._Element) -> list[str]:
        if attribute(element, "style-name") in self._hidden_styles or attribute(element, "display") == "none":
            self.hidden += 1
            return []
        pieces = [element.text or ""]
        for child in element:
            name = local(child)
            if name == "line-break":
                pieces.append("\n")
            elif name == "s":
                pieces.append(" " * min(number(child, "c"), MAX_SPAN))
            elif name == "tab":
                pieces.append(" ")
            elif name not in INLINE_UNSEEN:
                pieces += self._spoken(child)
            pieces.append(child.tail or "")
        return pieces


def number(element: etree._Element, name: str) -> int:
    """A small count from an attribute; 1 where there is none."""
    value = attribute(element, name)
    return min(int(value), MAX_SPAN) if value.isdecimal() and value.isascii() and len(value) < 9 else 1
