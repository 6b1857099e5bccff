"""From the bytes of any document to blocks: detects the format and picks the parser."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from ingest.parsing import ocr
from ingest.parsing.blocks import Block, ParsedDocument, cleaned
from ingest.parsing.detection import Format, detect
from rag.errors import NoText

Parse = Callable[[bytes], ParsedDocument]

# Named, not imported: a child that reads mails has no need of a PDF library.
PARSERS: dict[Format, str] = {
    Format.PDF: "ingest.parsing.pdf:parse",
    Format.DOCX: "ingest.parsing.word:parse",
    Format.XLSX: "ingest.parsing.sheets:parse",
    Format.XLS: "ingest.parsing.sheets:parse",
    Format.ODS: "ingest.parsing.sheets:parse",
    Format.ODT: "ingest.parsing.markup:parse_opendocument",
    Format.ODP: "ingest.parsing.markup:parse_opendocument",
    Format.EPUB: "ingest.parsing.markup:parse_epub",
    Format.XML: "ingest.parsing.markup:parse_xml",
    Format.HTML: "ingest.parsing.html:parse",
    Format.MARKDOWN: "ingest.parsing.markdown:parse",
    Format.EML: "ingest.parsing.mail:parse",
    Format.MSG: "ingest.parsing.mail:parse_outlook",
    Format.CSV: "ingest.parsing.text:parse_csv",
    Format.JSON: "ingest.parsing.text:parse_json",
    Format.VTT: "ingest.parsing.text:parse_subtitles",
    Format.TEXT: "ingest.parsing.text:parse_text",
}
ELEMENTS = (Format.PPTX, Format.RTF, Format.RST, Format.ORG)


def parse(data: bytes, name: str, *, ocr_languages: str | None = None) -> tuple[Format, ParsedDocument]:
    """The format and the blocks of a document. Raises a ParseError; a document without a block is NoText.

    `name` is the file name, used only to tell kinds of plain text apart; `ocr_languages` None: no OCR.
    """
    kind = detect(data, name)
    if kind is Format.PDF:
        from ingest.parsing import pdf

        document = pdf.parse(data, ocr_languages=ocr_languages)
    elif kind is Format.IMAGE:
        document = parse_image(data, ocr_languages)
    elif kind in ELEMENTS:
        from ingest.parsing import elements  # takes seconds and 250 MB: only for who needs it

        document = elements.parse(data, kind)
    else:
        module, _, function = PARSERS[kind].partition(":")
        reader: Parse = getattr(importlib.import_module(module), function)
        document = reader(data)
    document = cleaned(document)
    if not document.blocks:
        raise NoText("the document holds no text")
    return kind, document


def parse_image(data: bytes, languages: str | None) -> ParsedDocument:
    """The text in a picture. Raises NoText when there is none or Tesseract is missing."""
    if languages is None or not ocr.available():
        raise NoText("a picture without text: install Tesseract (tesseract-ocr) to read it")
    paragraphs = ocr.read_file(data, languages).split("\n\n")
    return ParsedDocument(tuple(Block("text", text.strip(), page=1) for text in paragraphs), pages=1)
