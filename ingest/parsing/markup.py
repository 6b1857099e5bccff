"""XML and how it is opened: EPUB, FictionBook, XML of no known kind. Reads nothing outside."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from lxml import etree

from ingest.parsing import html
from ingest.parsing.archive import check_zip
from ingest.parsing.blocks import Block, ParsedDocument
from ingest.parsing.visibility import warning
from rag.errors import Damaged


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


def local(element: etree._Element) -> str:
    """The name of an element without its namespace; empty for a comment."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: etree._Element, name: str) -> str:
    """The value of an attribute whatever its namespace; empty when it is not there."""
    return next((str(value) for key, value in element.attrib.items() if local_name(key) == name), "")


def local_name(key: str | bytes) -> str:
    return str(key).rpartition("}")[2]


def parse_epub(data: bytes) -> ParsedDocument:
    """The chapters of a book in the order of its spine."""
    archive = opened(data)
    container = tree(member(archive, "META-INF/container.xml"))
    package_name = next((str(each.get("full-path")) for each in container.iter("{*}rootfile")), "")
    package = tree(member(archive, package_name))
    files = {each.get("id"): str(each.get("href")) for each in package.iter("{*}item")}
    names = set(archive.namelist())
    blocks: list[Block] = []
    hidden = 0
    for reference in package.iter("{*}itemref"):
        href = unquote(files.get(reference.get("idref"), "")).partition("#")[0]
        name = posixpath.normpath(posixpath.join(posixpath.dirname(package_name), href))
        if href and name in names:
            page = html.read(member(archive, name))
            blocks += page.blocks
            hidden += page.hidden
    title = next((each.text or "" for each in package.iter("{*}title")), "")
    return ParsedDocument(tuple(blocks), title=title, warnings=warning(hidden))


def parse_fictionbook(data: bytes) -> ParsedDocument:
    """The sections of a book, their titles as headings; pictures are left out."""
    root = tree(data)
    title = next((spoken(each) for each in root.iterfind("{*}description/{*}title-info/{*}book-title")), "")
    blocks = [block for body in root.iterfind("{*}body") for block in chapters(body, 1)]
    return ParsedDocument(tuple(blocks), title=title)


def chapters(section: etree._Element, level: int) -> Iterator[Block]:
    for child in section:
        name = local(child)
        if name in ("title", "subtitle"):
            text = spoken(child)
            yield Block("heading", text, level=min(6, level + (name == "subtitle")))
        elif name in ("p", "text-author", "v"):
            yield Block("text", spoken(child))
        elif name == "stanza":
            yield Block("text", "\n".join(spoken(verse) for verse in child.iterfind("{*}v")))
        elif name == "table":
            yield from html.read(etree.tostring(child, encoding="unicode")).blocks
        elif name in ("section", "poem", "cite", "epigraph", "annotation"):
            yield from chapters(child, level + (name == "section"))


def spoken(element: etree._Element) -> str:
    return " ".join("".join(str(text) for text in element.itertext()).split())


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
