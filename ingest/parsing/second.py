"""The second parser, for documents that ours failed at: unstructured, and pypdf for PDF."""

from __future__ import annotations

import importlib
import io
import logging
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ingest.parsing import html
from ingest.parsing.archive import check_zip
from ingest.parsing.blocks import Block, BlockKind, ParsedDocument, merged_lists
from ingest.parsing.detection import Format
from ingest.parsing.parser import Options, finished
from rag.errors import Damaged, NeedsPassword, Unsupported
from rag.silence import silence

PARTITIONERS: dict[Format, str] = {
    Format.DOCX: "docx",
    Format.PPTX: "pptx",
    Format.XLSX: "xlsx",
    Format.XLS: "xlsx",
    Format.ODT: "odt",
    Format.EPUB: "epub",
    Format.HTML: "html",
    Format.MARKDOWN: "md",
    Format.EML: "email",
    Format.MSG: "msg",
    Format.RTF: "rtf",
    Format.RST: "rst",
    Format.ORG: "org",
    Format.CSV: "csv",
    Format.XML: "xml",
}
KINDS: dict[str, BlockKind] = {
    "Title": "heading",
    "ListItem": "list",
    "CodeSnippet": "code",
    "Table": "table",
}
FURNITURE = {"Header", "Footer", "PageBreak", "PageNumber"}
MAX_PAGES = 5000
NOTE = "read by the second parser, which does not look for hidden text"


def is_loaded() -> bool:
    """Whether unstructured is in this process; to load it takes seconds and 200 MB."""
    return "unstructured.partition.text" in sys.modules


def load() -> None:
    """Load unstructured; our tokenizer, which needs no download, must be there before its partitioners."""
    silence()
    from ingest.parsing import tokenization

    tokenization.register()
    for name in ("text", "html", "docx"):
        importlib.import_module(f"unstructured.partition.{name}")


def needs_loading(kind: Format) -> bool:
    return kind in PARTITIONERS and not is_loaded()


def reads(kind: Format) -> bool:
    """Whether there is a second parser for a format."""
    return kind in PARTITIONERS or kind is Format.PDF


def read(kind: Format, data: bytes, options: Options) -> ParsedDocument:
    """What the second parser makes of a document, with a warning that says so. Raises a ParseError."""
    if not reads(kind):
        raise Unsupported(f"there is no second parser for {kind.name}")
    document = parse_pdf(data, options) if kind is Format.PDF else parse_elements(data, kind)
    document = finished(document)
    return replace(document, warnings=(NOTE, *document.warnings))


def parse_elements(data: bytes, kind: Format) -> ParsedDocument:
    """The elements that unstructured finds, as blocks. Raises Damaged, or LimitExceeded for a zip bomb."""
    if data.startswith(b"PK"):
        check_zip(data)
    load()
    name = PARTITIONERS[kind]
    partition = getattr(importlib.import_module(f"unstructured.partition.{name}"), f"partition_{name}")
    try:
        elements = partition(file=io.BytesIO(data))
    except (
        RuntimeError,
        ValueError,
        KeyError,
        OSError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
    ) as error:
        # The libraries below unstructured have no error class in common.
        raise Damaged(f"the document cannot be read: {type(error).__name__}") from None
    except SyntaxError as error:
        raise Damaged(f"the XML in the document cannot be read: {error.msg}") from None
    pages = [element.metadata.page_number or 0 for element in elements]
    return ParsedDocument(tuple(merged_lists(blocks(elements))), pages=max(pages, default=0))


def blocks(elements: list[Any]) -> Iterator[Block]:
    """One block per element; headers and footers are left out."""
    for element in elements:
        if element.category in FURNITURE or not element.text.strip():
            continue
        page = element.metadata.page_number or 0
        kind = KINDS.get(element.category, "text")
        if kind == "table":
            found = html.parse(element.metadata.text_as_html or "").blocks
            rows = [block for block in found if block.kind == "table"]
            if rows:
                yield from (Block("table", block.text, page=page, rows=block.rows) for block in rows)
            else:
                yield Block("text", element.text, page=page)
        elif kind == "heading":
            yield Block("heading", element.text, level=(element.metadata.category_depth or 0) + 1, page=page)
        elif kind == "list":
            yield Block("list", f"- {element.text}", page=page)
        else:
            yield Block(kind, element.text, page=page)


def parse_pdf(data: bytes, options: Options) -> ParsedDocument:
    """The text of each page through pypdf, which has no code of PDFium. Raises NeedsPassword, Damaged."""
    import pypdf
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it would tell of every oddity of the file
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not any(reader.decrypt(each) for each in ("", *options.passwords)):
            raise NeedsPassword("the document is encrypted; put its password into ingest.passwords")
        found = []
        for number, page in enumerate(reader.pages[:MAX_PAGES], 1):
            paragraphs = page.extract_text().split("\n\n")
            found += [Block("text", text.strip(), page=number) for text in paragraphs]
        return ParsedDocument(tuple(found), pages=len(reader.pages))
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise Damaged(f"the PDF cannot be read: {type(error).__name__}") from None
