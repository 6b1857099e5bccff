"""PowerPoint presentations (pptx) straight from their XML: a page per slide."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator

from lxml import etree

from ingest.parsing import charts, markup
from ingest.parsing.blocks import Block, ParsedDocument, merged_lists, table
from ingest.parsing.grid import Grid
from ingest.parsing.markup import attribute, local
from ingest.parsing.visibility import warning
from rag.errors import Damaged

PRESENTATION = "ppt/presentation.xml"
TITLES = ("title", "ctrTitle")
UNSEEN = ("sldNum", "sldImg")
REPEATED = ("dt", "ftr", "hdr")
BULLETS = ("buChar", "buAutoNum", "buBlip")
MAX_SLIDES = 10_000


def parse(data: bytes) -> ParsedDocument:
    """Every slide in order of showing. Raises Damaged, or LimitExceeded for a zip bomb."""
    archive = markup.opened(data)
    names = set(archive.namelist())
    root = markup.tree(markup.member(archive, PRESENTATION))
    links = relations(archive, PRESENTATION)
    slides = [links.get(attribute_of_id(each), "") for each in root.iterfind("{*}sldIdLst/{*}sldId")]
    blocks: list[Block] = []
    hidden, said = 0, set[str]()
    for number, name in enumerate(slides[:MAX_SLIDES], 1):
        if name in names:
            slide = Slide(archive, name, number, said)
            blocks += slide.blocks
            hidden += slide.hidden
    if slides and not names.intersection(slides):
        raise Damaged("the presentation has lost its slides")
    core = "docProps/core.xml"
    meta = markup.tree(markup.member(archive, core)) if core in names else None
    title = "" if meta is None else next((each.text or "" for each in meta.iter("{*}title")), "")
    return ParsedDocument(
        tuple(merged_lists(blocks)), title=title, pages=len(slides), warnings=warning(hidden)
    )


def relations(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    """Relation id -> name of the part it leads to."""
    folder, _, name = part.rpartition("/")
    listing = f"{folder}/_rels/{name}.rels"
    if listing not in archive.namelist():
        return {}
    found = {}
    for each in markup.tree(markup.member(archive, listing)).iter("{*}Relationship"):
        target = str(each.get("Target", ""))
        absolute = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
        found[str(each.get("Id", ""))] = posixpath.normpath(absolute)
    return found


def attribute_of_id(element: etree._Element) -> str:
    """The relation id (r:id), which has the same local name as the plain id beside it."""
    return next((str(value) for key, value in element.attrib.items() if str(key).endswith("}id")), "")


class Slide:
    """The blocks of one slide: its title first, then its shapes as they were put there, then its notes."""

    def __init__(self, archive: zipfile.ZipFile, name: str, number: int, said: set[str]) -> None:
        self.blocks: list[Block] = []
        self.hidden = 0
        self._archive, self._page = archive, number
        self._said = said  # the dates and footers of the slides before: they are read once
        self._links = relations(archive, name)
        root = markup.tree(markup.member(archive, name))
        shapes = list(self._shapes(root))
        for shape in sorted(shapes, key=lambda shape: placeholder(shape) not in TITLES):
            self._shape(shape)
        for target in self._links.values():
            if "/notesSlides/" in target and target in archive.namelist():
                self._notes(target)

    def _shapes(self, element: etree._Element) -> Iterator[etree._Element]:
        for tree in element.iterfind("{*}cSld/{*}spTree"):
            yield from self._grouped(tree)

    def _grouped(self, element: etree._Element) -> Iterator[etree._Element]:
        for child in element:
            name = local(child)
            if name in ("sp", "graphicFrame", "pic", "cxnSp"):
                if any(is_true(each.get("hidden")) for each in child.iterfind("*/{*}cNvPr")):
                    self.hidden += any(spoken(each).strip() for each in child.iter("{*}p"))
                else:
                    yield child
            elif name in ("grpSp", "AlternateContent", "Choice"):
                yield from self._grouped(child)

    def _shape(self, shape: etree._Element) -> None:
        kind = placeholder(shape)
        if local(shape) == "graphicFrame":
            self._frame(shape)
        elif kind in TITLES:
            title = " ".join(" ".join(spoken(each) for each in shape.iter("{*}p")).split())
            if title:
                self.blocks.append(Block("heading", title, level=1, page=self._page))
        elif kind in REPEATED:
            text = " ".join(" ".join(spoken(each) for each in shape.iter("{*}p")).split())
            if text and text not in self._said:
                self._said.add(text)
                self.blocks.append(Block("text", text, page=self._page))
        elif kind not in UNSEEN:
            for body in shape.iterfind("{*}txBody"):
                self._text(body, bulleted=kind in ("body", "obj"))

    def _text(self, body: etree._Element, *, bulleted: bool) -> None:
        """Paragraphs of a shape: those with a bullet as a list, runs of others as a text."""
        paragraphs = [(each, spoken(each).strip()) for each in body.iterfind("{*}p")]
        paragraphs = [(each, text) for each, text in paragraphs if text]
        lines: list[str] = []
        for paragraph, text in paragraphs:
            depth = bullet_depth(paragraph, bulleted=bulleted and len(paragraphs) > 1)
            if depth is None:
                lines.append(text)
                continue
            self._flush(lines)
            self.blocks.append(Block("list", f"{'  ' * depth}- {text}", page=self._page))
        self._flush(lines)

    def _flush(self, lines: list[str]) -> None:
        if lines:
            self.blocks.append(Block("text", "\n".join(lines), page=self._page))
            lines.clear()

    def _frame(self, frame: etree._Element) -> None:
        """A table, a chart, or a drawing of boxes and arrows (SmartArt)."""
        for grid in frame.iter("{*}tbl"):
            if block := table(rows(grid), page=self._page):
                self.blocks.append(block)
        for each in frame.iter("{*}chart"):
            target = self._links.get(attribute_of_id(each), "")
            if target in self._archive.namelist():
                self.blocks += charts.chart(self._archive, target, page=self._page)
        for each in frame.iter("{*}relIds"):
            target = self._links.get(attribute(each, "dm"), "")
            if target in self._archive.namelist():
                drawing = markup.tree(markup.member(self._archive, target))
                lines = [text for point in drawing.iter("{*}p") if (text := spoken(point).strip())]
                self._flush(lines)

    def _notes(self, target: str) -> None:
        root = markup.tree(markup.member(self._archive, target))
        for shape in root.iter("{*}sp"):
            if placeholder(shape) == "body":
                lines = [text for each in shape.iter("{*}p") if (text := spoken(each).strip())]
                if lines:
                    self.blocks.append(Block("text", "Notes: " + "\n".join(lines), page=self._page))


def placeholder(shape: etree._Element) -> str:
    """What a shape is for: title, body, dt, ...; empty for a shape of the author's own."""
    for mark in shape.iterfind("{*}nvSpPr/{*}nvPr/{*}ph"):
        return str(mark.get("type", "obj"))
    return ""


def bullet_depth(paragraph: etree._Element, *, bulleted: bool) -> int | None:
    """How deep in a list a paragraph is; None for one without a bullet."""
    depth = 0
    for properties in paragraph.iterfind("{*}pPr"):
        level = properties.get("lvl", "0")
        depth = int(level[:1]) if level.isdecimal() else 0
        marks = {local(each) for each in properties}
        if "buNone" in marks:
            return None
        bulleted = bulleted or bool(marks.intersection(BULLETS))
    return depth if bulleted else None


def rows(grid: etree._Element) -> list[list[str]]:
    found = Grid()
    for row in grid.iterfind("{*}tr"):
        found.row()
        for cell in row.iterfind("{*}tc"):
            if cell.get("hMerge") in ("1", "true") or cell.get("vMerge") in ("1", "true"):
                continue  # stands for columns or rows that another cell covers
            text = " ".join(" ".join(spoken(each) for each in cell.iter("{*}p")).split())
            width, height = str(cell.get("gridSpan", "1")), str(cell.get("rowSpan", "1"))
            found.cell(text, width=span(width), height=span(height))
    return found.finished()


def span(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 5 else 1


def spoken(paragraph: etree._Element) -> str:
    """The text of a paragraph; a line break stays one."""
    pieces = []
    for each in paragraph.iter("{*}t", "{*}br"):
        pieces.append("\n" if local(each) == "br" else each.text or "")
    return "".join(pieces).replace("\x0b", "\n")


def is_true(value: str | None) -> bool:
    return value in ("1", "true")
