"""PDF through pypdfium2: text in the order of the content stream, lines, headings, tables, page numbers."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.parsing import layout, ocr
from ingest.parsing.blocks import Block, ParsedDocument
from ingest.parsing.layout import Glyph, Line
from rag.errors import Damaged, LimitExceeded, NeedsPassword, NoText

MAX_PAGES = 5_000
FEW_CHARACTERS = 20
OCR_DPI = 200
OCR_MAX_PIXELS = 40_000_000


def parse(data: bytes, *, ocr_languages: str | None = None) -> ParsedDocument:
    """The blocks of a PDF; pages without text are read by Tesseract when `ocr_languages` is given.

    Raises NeedsPassword, Damaged, LimitExceeded, or NoText when no page holds text.
    """
    with opened(data) as document:
        if len(document) > MAX_PAGES:
            raise LimitExceeded(f"{len(document)} pages, the limit is {MAX_PAGES}")
        pages: list[list[Line]] = []
        scanned: dict[int, str] = {}
        unread = 0
        for number in range(len(document)):
            lines = read_page(document, number)
            if sum(len(line.text) for line in lines) < FEW_CHARACTERS and has_images(document, number):
                text = recognise(document, number, ocr_languages)
                unread += text is None
                if text:
                    scanned[number], lines = text, []
            pages.append(lines)
        title = str(document.get_metadata_value("Title") or "")
        blocks = tuple(assemble(pages, scanned))
        if not blocks:
            problem = "no page holds text"
            if unread and ocr_languages:
                problem = (
                    f"{unread} scanned pages without text: install Tesseract (tesseract-ocr) to read them"
                )
            raise NoText(problem)
        warnings = (f"{unread} scanned pages were not read",) if unread else ()
        return ParsedDocument(blocks, title=title, pages=len(document), warnings=warnings)


def opened(data: bytes) -> Any:
    """The document, or the error that says why it does not open."""
    try:
        document = pypdfium2.PdfDocument(data)
        document.init_forms()
        if len(document) == 0:
            raise Damaged("the PDF has no pages")
        return document
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise NeedsPassword("the PDF is encrypted; remove the password and ingest it again") from None
        raise Damaged(f"the PDF cannot be opened: {error}") from None


def read_page(document: Any, number: int) -> list[Line]:
    """The lines of one page; none for a page that PDFium cannot load."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return []
    text_page = page.get_textpage()
    try:
        lines = layout.lines(glyphs(text_page.raw), height=page.get_height())
        return lines + [Line(text) for text in form_values(page)]
    finally:
        text_page.close()
        page.close()


def glyphs(text_page: Any) -> Iterator[Glyph]:
    """Characters with their boxes; line ends come as `\\n` glyphs without a box."""
    box = pdfium.FS_RECTF()
    reference = ctypes.byref(box)
    high = 0
    for index in range(pdfium.FPDFText_CountChars(text_page)):
        code = pdfium.FPDFText_GetUnicode(text_page, index)
        if 0xD800 <= code < 0xDC00:
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00 if high else 0xFFFD
        high = 0
        if code in (0x0D, 0x0A):
            if code == 0x0A:
                yield Glyph("\n", 0, 0, 0, 0)
            continue
        # U+0002 and U+FFFE are how PDFium says "hyphen at the end of a line".
        character = "\u00ad" if code in (0x02, 0xFFFE) else chr(code)
        pdfium.FPDFText_GetLooseCharBox(text_page, index, reference)
        bold = character != " " and pdfium.FPDFText_GetFontWeight(text_page, index) >= 600
        yield Glyph(character, box.left, box.bottom, box.right, box.top, bold)


def form_values(page: Any) -> Iterator[str]:
    """What is filled into the form fields and written into the annotations of a page."""
    for index in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, index)
        for key in (b"V", b"Contents"):
            size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)
            if 2 < size < 1_000_000:
                buffer = (ctypes.c_ushort * (size // 2))()
                pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, size)
                yield bytes(buffer).decode("utf-16-le", "replace").rstrip("\x00")
        pdfium.FPDFPage_CloseAnnot(annotation)


def has_images(document: Any, number: int) -> bool:
    """Whether a page shows an image that could be a scan."""
    try:
        page = document[number]
        kinds = Counter(each.type for each in page.get_objects(max_depth=3))
    except pypdfium2.PdfiumError:
        return False
    return kinds[pdfium.FPDF_PAGEOBJ_IMAGE] > 0


def recognise(document: Any, number: int, languages: str | None) -> str | None:
    """The text of a scanned page; None when there is nobody to read it."""
    if languages is None or not ocr.available():
        return None
    page = document[number]
    width, height = page.get_size()
    scale = OCR_DPI / 72
    if width * height * scale * scale > OCR_MAX_PIXELS:
        scale = (OCR_MAX_PIXELS / (width * height)) ** 0.5
    bitmap = page.render(scale=scale, grayscale=True)
    return ocr.read(bytes(bitmap.buffer), bitmap.width, bitmap.height, bitmap.stride, languages)


def assemble(pages: list[list[Line]], scanned: dict[int, str]) -> Iterator[Block]:
    """Blocks of all pages without the headers and footers that repeat."""
    furniture = layout.furniture(pages)
    style = layout.style(pages)
    for number, lines in enumerate(pages):
        for paragraph in scanned.get(number, "").split("\n\n"):
            if paragraph.strip():
                yield Block("text", paragraph.strip(), page=number + 1)
        kept = [line for line in lines if layout.skeleton(line) not in furniture]
        yield from layout.blocks(kept, style, number=number + 1)
