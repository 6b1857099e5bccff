"""XML in its containers: OpenDocument, EPUB, and XML of no known kind. Reads nothing outside."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from lxml import etree

from ingest.parsing import html
from ingest.parsing.archive import check_zip
from ingest.parsing.blocks import Block, ParsedDocument, table
from rag.errors import Damaged

UNSEEN = {"tracked-changes", "annotation", "notes", "forms", "sequence-decls", "event-listeners"}


def tree(data: bytes) -> etree._Element:
    """The root of an XML text, entities left alone. Raises Damaged."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise Damaged(f"the XML cannot be read: {error.msg}") from None


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (KeyError, zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError) as error:
        raise Damaged(f"{name} cannot be unpacked: {error}") from None


def opened(data: bytes) -> zipfile.ZipFile:
    check_zip(data)
    return zipfile.ZipFile(io.BytesIO(data))


def parse_opendocument(data: bytes) -> ParsedDocument:
    """Headings, paragraphs, lists and tables of an odt or odp."""
    root = tree(member(opened(data), "content.xml"))
    reader = OpenDocument()
    reader.walk(root)
    return ParsedDocument(tuple(html.merged_lists(reader.blocks)), pages=reader.page)


class OpenDocument:
    """Collects blocks from content.xml."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.page = 0

    def walk(self, element: etree._Element, in_list: bool = False) -> None:
        for child in element:
            name = local(child)
            if name in UNSEEN:
                continue
            if name == "page":
                self.page += 1
            if name == "h":
                level = next((v for k, v in child.attrib.items() if str(k).endswith("outline-level")), "1")
                self._add("heading", spoken(child), level=int(level) if str(level).isdecimal() else 1)
            elif name == "p":
                text = spoken(child)
                self._add("list" if in_list else "text", f"- {text}" if in_list and text else text)
                for frame in child.iter("{*}text-box"):
                    self.walk(frame)
            elif name == "table":
                rows = [list(cells_of(row)) for row in child.iter("{*}table-row")]
                if block := table(rows, page=self.page):
                    self.blocks.append(block)
            else:
                self.walk(child, in_list or name == "list")

    def _add(self, kind: str, text: str, level: int = 0) -> None:
        if text and kind == "heading":
            self.blocks.append(Block("heading", text, level=level, page=self.page))
        elif text:
            self.blocks.append(Block("list" if kind == "list" else "text", text, page=self.page))


def cells_of(row: etree._Element) -> Iterator[str]:
    for cell in row:
        if local(cell) in ("table-cell", "covered-table-cell"):
            yield " ".join(spoken(each) for each in cell.iter("{*}p", "{*}h"))


def spoken(element: etree._Element) -> str:
    """The text of an element with spaces, tabs and line breaks, without notes, comments and text boxes."""
    parts = [element.text or ""]
    for child in element:
        name = local(child)
        if name in ("s", "tab", "line-break"):
            parts.append("\n" if name == "line-break" else " ")
        elif name not in UNSEEN and name not in ("text-box", "note"):
            parts.append(spoken(child))
        parts.append(child.tail or "")
    return "".join(parts).strip() if local(element) in ("p", "h") else "".join(parts)


def local(element: etree._Element) -> str:
    """The name of an element without its namespace; empty for a comment."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def parse_epub(data: bytes) -> ParsedDocument:
    """The chapters of a book in the order of its spine."""
    archive = opened(data)
    container = tree(member(archive, "META-INF/container.xml"))
    package_name = next((str(each.get("full-path")) for each in container.iter("{*}rootfile")), "")
    package = tree(member(archive, package_name))
    files = {each.get("id"): str(each.get("href")) for each in package.iter("{*}item")}
    names = set(archive.namelist())
    blocks: list[Block] = []
    for reference in package.iter("{*}itemref"):
        href = unquote(files.get(reference.get("idref"), "")).partition("#")[0]
        name = posixpath.normpath(posixpath.join(posixpath.dirname(package_name), href))
        if href and name in names:
            blocks += html.parse(member(archive, name)).blocks
    title = next((each.text or "" for each in package.iter("{*}title")), "")
    return ParsedDocument(tuple(blocks), title=title)


def parse_xml(data: bytes) -> ParsedDocument:
    """The values of an XML text, one line each, grouped by the element they stand in."""
    root = tree(data)
    blocks: list[Block] = []
    group: list[str] = []
    parent: etree._Element | None = None
    for element in root.iter(etree.Element):
        for holder, text in ((element.getparent(), element.text), (element.getparent(), element.tail)):
            if not text or not text.strip():
                continue
            if holder is not parent and group:
                blocks.append(Block("text", "\n".join(group)))
                group = []
            parent = holder
            group.append(" ".join(text.split()))
    if group:
        blocks.append(Block("text", "\n".join(group)))
    return ParsedDocument(tuple(blocks))
