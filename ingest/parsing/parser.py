"""From the bytes of any document to blocks: detects the format and picks the parser."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingest.parsing.blocks import ParsedDocument, cleaned
from ingest.parsing.detection import Format, detect
from rag.errors import NoText
from rag.language import language

# Named, not imported: a child that reads mails has no need of a PDF library.
PARSERS: dict[Format, str] = {
    Format.PDF: "ingest.parsing.pdf:parse",
    Format.DOCX: "ingest.parsing.word:parse",
    Format.XLSX: "ingest.parsing.sheets:parse",
    Format.PPTX: "ingest.parsing.slides:parse",
    Format.DOC: "ingest.parsing.word97:parse",
    Format.XLS: "ingest.parsing.sheets:parse",
    Format.PPT: "ingest.parsing.slides97:parse",
    Format.ODS: "ingest.parsing.sheets:parse",
    Format.ODT: "ingest.parsing.opendocument:parse",
    Format.ODP: "ingest.parsing.opendocument:parse",
    Format.EPUB: "ingest.parsing.markup:parse_epub",
    Format.FB2: "ingest.parsing.markup:parse_fictionbook",
    Format.XML: "ingest.parsing.markup:parse_xml",
    Format.HTML: "ingest.parsing.html:parse",
    Format.MHTML: "ingest.parsing.mail:parse_web_archive",
    Format.MARKDOWN: "ingest.parsing.markdown:parse",
    Format.EML: "ingest.parsing.mail:parse",
    Format.MBOX: "ingest.parsing.mail:parse_mailbox",
    Format.MSG: "ingest.parsing.outlook:parse",
    Format.RTF: "ingest.parsing.pandoc:parse_rtf",
    Format.RST: "ingest.parsing.pandoc:parse_rst",
    Format.ORG: "ingest.parsing.pandoc:parse_org",
    Format.CSV: "ingest.parsing.text:parse_csv",
    Format.JSON: "ingest.parsing.text:parse_json",
    Format.VTT: "ingest.parsing.text:parse_subtitles",
    Format.TEXT: "ingest.parsing.text:parse_text",
    Format.IMAGE: "ingest.parsing.scans:parse_image",
    Format.ZIP: "ingest.parsing.archive:parse_zip",
    Format.TAR: "ingest.parsing.archive:parse_tar",
}
# What most documents need; loading it anew for each of them would take longer than to read it.
USUAL = (
    "archive",
    "html",
    "mail",
    "markdown",
    "markup",
    "opendocument",
    "pdf",
    "sheets",
    "slides",
    "text",
    "word",
)
MAY_BE_ENCRYPTED = (Format.ENCRYPTED, Format.DOC, Format.XLS, Format.PPT)


@dataclass(frozen=True, slots=True)
class Options:
    """What readers may need besides the bytes.

    `ocr_languages` None: no OCR. `progress` is called after each recognised page.
    """

    name: str = ""
    passwords: Sequence[str] = ()
    ocr_languages: str | None = None
    progress: Callable[[], None] = lambda: None


def preload() -> None:
    """Import the usual parsers."""
    for name in USUAL:
        importlib.import_module(f"ingest.parsing.{name}")


def parse(
    data: bytes, name: str, *, ocr_languages: str | None = None, passwords: Sequence[str] = ()
) -> tuple[Format, ParsedDocument]:
    """The format, and what a document holds. Raises a ParseError; NoText when it holds nothing.

    `name` is the file name, used only to tell kinds of plain text apart; `ocr_languages` None: no OCR.
    """
    options = Options(name, passwords, ocr_languages)
    kind, data = opened(data, options)
    return kind, read(kind, data, options)


def opened(data: bytes, options: Options) -> tuple[Format, bytes]:
    """The format of a file and, if one of the passwords opens it, what it encrypts. Raises a ParseError."""
    kind = detect(data, options.name)
    if kind not in MAY_BE_ENCRYPTED:
        return kind, data
    from ingest.parsing import encryption  # takes 50 ms: only for who needs it

    plain = encryption.opened(data, options.passwords)
    return (kind, data) if plain is data else (detect(plain, options.name), plain)


def read(kind: Format, data: bytes, options: Options) -> ParsedDocument:
    """What a document of a known format holds, cleaned, with its language. Raises a ParseError."""
    module, _, function = PARSERS[kind].partition(":")
    reader = getattr(importlib.import_module(module), function)
    return finished(reader(data, **arguments(kind, options)))


def arguments(kind: Format, options: Options) -> dict[str, Any]:
    """What the reader of a format takes besides the bytes."""
    if kind is Format.PDF:
        return {
            "ocr_languages": options.ocr_languages,
            "passwords": options.passwords,
            "progress": options.progress,
        }
    if kind is Format.IMAGE:
        return {"languages": options.ocr_languages}
    if kind is Format.ZIP:
        return {"passwords": options.passwords}
    return {"name": options.name} if kind is Format.TAR else {}


def finished(document: ParsedDocument) -> ParsedDocument:
    """The document without hidden characters, its language found. Raises NoText when nothing is left."""
    document = cleaned(document)
    if not document.blocks and not document.parts:
        hidden = any("hidden" in warning for warning in document.warnings)
        raise NoText("all the text of the document is hidden" if hidden else "the document holds no text")
    if document.language:
        return document
    return replace(document, language=language(block.text for block in document.blocks))
