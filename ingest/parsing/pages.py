"""The pages of a PDF as PDFium sees them: words with their boxes and faces, drawn rules, pictures, notes.

The only importer of pypdfium2. All places are in points from the top left corner of the page as shown, that
is after rotation and inside the crop box.
"""

from __future__ import annotations

import ctypes
import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.parsing.words import CUT, Edges, Face, Letter, Word
from rag.errors import Damaged, NeedsPassword

# A page with more objects than this is a plan or a bomb: its rules are not looked at.
MAX_OBJECTS = 50_000
CHEAP_OBJECTS = 1_000  # a page with more is looked through only for a reason
MAX_NOTE_BYTES = 1_000_000
# U+FFFE is how PDFium says "a hyphen at the end of a line, and the line end with it".
WORD = re.compile(r"[^\s\ufffe]+\ufffe?|\ufffe|\n")
BOLD_NAME = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)
THIN = 2.5  # points: a filled rectangle no thicker is a line
INVISIBLE_MODES = (3, 7)
OPAQUE_BLACK = (0, 0, 0, 255)
HIDDEN_NOTE = 0x02 | 0x20  # annotation flags: hidden, no view


def plain(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A function of PDFium with integers for pointers: half the cost of a call, and there are many."""
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


four_floats = struct.Struct("4f").unpack_from  # left, top, right, bottom of an FS_RECTF
POINTER, INT = ctypes.c_void_p, ctypes.c_int
get_box = plain(pdfium.FPDFText_GetLooseCharBox, INT, POINTER, INT, POINTER)
get_code = plain(pdfium.FPDFText_GetUnicode, INT, POINTER, INT)
get_object = plain(pdfium.FPDFPage_GetObject, POINTER, POINTER, INT)
get_type = plain(pdfium.FPDFPageObj_GetType, INT, POINTER)
get_bounds = plain(pdfium.FPDFPageObj_GetBounds, INT, POINTER, *4 * (POINTER,))
get_text_object = plain(pdfium.FPDFText_GetTextObject, POINTER, POINTER, INT)
get_font = plain(pdfium.FPDFTextObj_GetFont, POINTER, POINTER)
get_render_mode = plain(pdfium.FPDFTextObj_GetTextRenderMode, INT, POINTER)
get_fill_colour = plain(pdfium.FPDFPageObj_GetFillColor, INT, POINTER, *4 * (POINTER,))
get_stroke_colour = plain(pdfium.FPDFPageObj_GetStrokeColor, INT, POINTER, *4 * (POINTER,))


class Drawing(NamedTuple):
    """What is drawn beside text: thin lines, filled areas with their colour, pictures."""

    rules: list[Edges]
    fills: list[tuple[Edges, tuple[int, int, int]]]
    pictures: list[Edges]


class Raster(NamedTuple):
    """A rendered page: rows of `stride` bytes; 1 or 4 bytes (BGRx) a pixel; `scale` pixels a point."""

    pixels: bytes
    width: int
    height: int
    stride: int
    scale: float


@contextmanager
def opened(data: bytes, passwords: Sequence[str] = ()) -> Iterator[Any]:
    """The document, with the first password that fits. Raises NeedsPassword or Damaged."""
    for password in ("", *passwords):
        try:
            document = pypdfium2.PdfDocument(data, password=password or None)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                continue
            raise Damaged(f"the PDF cannot be opened: {error}") from None
        try:
            if len(document) == 0:
                raise Damaged("the PDF has no pages")
            yield document
        finally:
            document.close()
        return
    tried = f" with none of the {len(passwords)} given passwords" if passwords else ""
    raise NeedsPassword(
        f"the PDF is encrypted and opens{tried or ' only with a password'}: "
        "add its password to ingest.passwords"
    )


@contextmanager
def page_of(document: Any, number: int) -> Iterator[Page | None]:
    """The page with this number from 0; None for one that PDFium cannot load."""
    try:
        raw = document[number]
    except pypdfium2.PdfiumError:
        yield None
        return
    try:
        yield Page(raw)
    finally:
        raw.close()


class Page:
    """One loaded page. `width` and `height` in points, as shown."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self.width: float
        self.height: float
        self.width, self.height = page.get_size()
        try:
            left, bottom, right, top = page.get_bbox()
        except pypdfium2.PdfiumError:
            left, bottom, right, top = 0.0, 0.0, self.width, self.height
        # x' = a x + c y + e, y' = b x + d y + f for each of the four ways a page can be turned.
        self._frame = {
            0: (1, 0, 0, -1, -left, top),
            90: (0, 1, 1, 0, -bottom, -left),
            180: (-1, 0, 0, 1, right, -bottom),
            270: (0, -1, -1, 0, top, right),
        }[page.get_rotation()]

    @property
    def area(self) -> float:
        """Square points of the page."""
        return self.width * self.height

    def place(self, left: float, bottom: float, right: float, top: float) -> Edges:
        """A rectangle of the page's own coordinates where it is shown."""
        a, b, c, d, e, f = self._frame
        x, y = a * left + c * bottom + e, b * left + d * bottom + f
        u, v = a * right + c * top + e, b * right + d * top + f
        return Edges(min(x, u), min(y, v), max(x, u), max(y, v))

    def rows(self) -> list[list[Word]]:
        """The words of the page, grouped into PDFium's lines, in the order of the content stream."""
        text_page = self._page.get_textpage()
        try:
            return list(self._rows(text_page.raw))
        finally:
            text_page.close()

    def _rows(self, raw: Any) -> Iterator[list[Word]]:
        text, place = characters(raw)
        reader = WordReader(raw, self._frame, self.place)
        row: list[Word] = []
        for match in WORD.finditer(text):
            found = match[0]
            if found == "\n":
                if row:
                    yield row
                row = []
                continue
            first, end = match.span()
            if place:
                word = reader.word(found, place(first), place(end - 1))
            else:
                word = reader.word(found, first, end - 1)
            # After a cut word PDFium gives no line end.
            if row and row[-1].text[-1] == CUT and word.top > row[-1].top + 0.5 * word.face.size:
                yield row
                row = []
            row.append(word)
        if row:
            yield row

    def letters(self, most: int) -> list[Letter]:
        """The characters of the page as the content stream has them; none if there are more than `most`."""
        text_page = self._page.get_textpage()
        try:
            count, raw = text_page.count_chars(), ctypes.cast(text_page.raw, POINTER).value
            box = ctypes.create_string_buffer(16)
            start, found = ctypes.addressof(box), []
            for index in range(count if count <= most else 0):
                code = get_code(raw, index)
                if get_box(raw, index, start):
                    left, top, right, bottom = four_floats(box)
                    found.append(Letter(chr(code), *self.place(left, bottom, right, top)))
            return found
        finally:
            text_page.close()

    def drawing(self, most: int = MAX_OBJECTS) -> Drawing:
        """Lines, filled areas and pictures; nothing for a page of more than `most` objects."""
        found = Drawing([], [], [])
        raw = self._page.raw
        count = pdfium.FPDFPage_CountObjects(raw)
        if count > most:
            return found
        address = ctypes.cast(raw, POINTER).value
        for index in range(count):
            number = get_object(address, index)
            kind = get_type(number)
            if kind == pdfium.FPDF_PAGEOBJ_TEXT:
                continue
            each = ctypes.cast(number, pdfium.FPDF_PAGEOBJECT)
            edges = self._edges(number)
            if kind == pdfium.FPDF_PAGEOBJ_PATH:
                self._trace(each, edges, found)
            elif kind == pdfium.FPDF_PAGEOBJ_IMAGE or (
                kind == pdfium.FPDF_PAGEOBJ_FORM and holds_image(each)
            ):
                found.pictures.append(edges)
        return found

    def _edges(self, number: int) -> Edges:
        bounds = (ctypes.c_float * 4)()
        start = ctypes.addressof(bounds)
        get_bounds(number, start, start + 4, start + 8, start + 12)
        return self.place(*bounds)

    def _trace(self, path: Any, edges: Edges, found: Drawing) -> None:
        """A path as rules and a fill. A stroked box gives its four sides."""
        mode, stroked = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDFPath_GetDrawMode(path, ctypes.byref(mode), ctypes.byref(stroked))
        width, height = edges.width, edges.height
        if min(width, height) <= THIN:
            if mode.value or stroked.value:
                found.rules.append(edges)
            return
        if mode.value:
            colour, opacity = paint(pdfium.FPDFPageObj_GetFillColor, path)
            if opacity:
                found.fills.append((edges, colour))
        segments = pdfium.FPDFPath_CountSegments(path)
        if stroked.value and 4 <= segments <= 6:
            left, top, right, bottom = edges
            found.rules.extend(
                (
                    Edges(left, top, right, top),
                    Edges(left, bottom, right, bottom),
                    Edges(left, top, left, bottom),
                    Edges(right, top, right, bottom),
                )
            )

    def notes(self) -> Iterator[str]:
        """What is filled into the form fields and written into the annotations."""
        for index in range(pdfium.FPDFPage_GetAnnotCount(self._page.raw)):
            note = pdfium.FPDFPage_GetAnnot(self._page.raw, index)
            if not pdfium.FPDFAnnot_GetFlags(note) & HIDDEN_NOTE:
                for key in (b"V", b"Contents"):
                    size = pdfium.FPDFAnnot_GetStringValue(note, key, None, 0)
                    if 2 < size < MAX_NOTE_BYTES:
                        buffer = (ctypes.c_ushort * (size // 2))()
                        pdfium.FPDFAnnot_GetStringValue(note, key, buffer, size)
                        yield bytes(buffer).decode("utf-16-le", "replace").rstrip("\x00")
            pdfium.FPDFPage_CloseAnnot(note)

    def scale(self, dpi: float, max_pixels: int) -> float:
        """Pixels a point at this resolution, fewer if the page would have too many pixels."""
        return min(dpi / 72, math.sqrt(max_pixels / max(self.area, 1.0)))

    def render(self, *, dpi: float, max_pixels: int, grey: bool, turn: int = 0) -> Raster:
        """The page as pixels, turned clockwise by `turn` degrees."""
        scale = self.scale(dpi, max_pixels)
        bitmap = self._page.render(scale=scale, rotation=turn, grayscale=grey, prefer_bgrx=not grey)
        try:
            return Raster(bytes(bitmap.buffer), bitmap.width, bitmap.height, bitmap.stride, scale)
        finally:
            bitmap.close()


class WordReader:
    """Looks up where words of one text page stand and how they are painted, with as few calls as will do."""

    def __init__(self, raw: Any, frame: tuple[float, ...], place: Callable[..., Edges]) -> None:
        self._raw, self._frame, self._place = raw, frame, place
        self._upright = frame[:4] == (1, 0, 0, -1)
        self._page = ctypes.cast(raw, ctypes.c_void_p).value
        self._box = ctypes.create_string_buffer(16)
        self._paint = (ctypes.c_uint * 4)()
        self._box_at = ctypes.addressof(self._box)
        self._paint_at = [ctypes.addressof(self._paint) + 4 * index for index in range(4)]
        self._text, self._face = 0, Face(0.0, False, True, (0, 0, 0), 255, True)
        self._bold: dict[int, bool] = {}
        self._sizes: dict[tuple[int, int, int], tuple[float, bool]] = {}

    def word(self, text: str, first: int, last: int) -> Word:
        """The word whose characters are `first` to `last`."""
        get_box(self._page, first, self._box_at)
        left, top, right, bottom = four_floats(self._box)
        height, width = top - bottom, right - left
        if last > first:
            get_box(self._page, last, self._box_at)
            start, high, end, low = four_floats(self._box)
            left, right = left if left < start else start, right if right > end else end
            bottom, top = bottom if bottom < low else low, top if top > high else high
        found = get_text_object(self._page, first)
        if found != self._text and found:
            self._text, self._face = found, self._look(found, first, height, width)
        if text[-1] == "\ufffe":
            text = text[:-1] + CUT
        if self._upright:
            e, f = self._frame[4:]
            return Word(text, left + e, f - top, right + e, f - bottom, self._face)
        return Word(text, *self._place(left, bottom, right, top), self._face)

    def _look(self, text: int, index: int, height: float, width: float) -> Face:
        """The face of a text object; its size is that of the last one with this font and height of box."""
        mode = get_render_mode(text)
        get = get_stroke_colour if mode in (1, 5) else get_fill_colour
        red, green, blue, opacity = self._paint if get(text, *self._paint_at) else OPAQUE_BLACK
        font = get_font(text) or 0
        key = (font, round(100 * height), 0 if height > 0.5 * width else index)
        if key not in self._sizes:
            self._sizes[key] = self._measure(index, height)
        if font not in self._bold:
            self._bold[font] = is_bold(font)
        size, upright = self._sizes[key]
        bold = self._bold[font] or mode == 2
        return Face(size, bold, upright, (red, green, blue), opacity, mode not in INVISIBLE_MODES)

    def _measure(self, index: int, height: float) -> tuple[float, bool]:
        """Size in points across the line of writing, and whether that line runs from left to right."""
        matrix = pdfium.FS_MATRIX()
        pdfium.FPDFText_GetMatrix(self._raw, index, ctypes.byref(matrix))
        a, b, c, d = matrix.a, matrix.b, matrix.c, matrix.d
        along = (a * a + b * b) ** 0.5
        scale = abs(a * d - b * c) / along if along else 0.0
        x, y = self._frame[0] * a + self._frame[2] * b, self._frame[1] * a + self._frame[3] * b
        upright = abs(y) <= abs(x)
        size = pdfium.FPDFText_GetFontSize(self._raw, index) * scale
        # Fonts made of drawings have units of their own.
        if upright and not 0.3 * height < size < 3 * height:
            size = height / 1.15
        return round(size, 1), upright


def is_bold(font: int) -> bool:
    """Whether a font is bold by its weight or its name."""
    if not font:
        return False
    pointer = ctypes.cast(font, pdfium.FPDF_FONT)
    name = ctypes.create_string_buffer(128)
    pdfium.FPDFFont_GetBaseFontName(pointer, name, 128)
    return pdfium.FPDFFont_GetWeight(pointer) >= 600 or BOLD_NAME.search(name.value) is not None


def characters(raw: Any) -> tuple[str, Callable[[int], int] | None]:
    """The text of a page, and what turns a place in it into PDFium's number of the character there.

    None: they are the same. They are not where characters without meaning were left out.
    """
    count = pdfium.FPDFText_CountChars(raw)
    if count <= 0:
        return "", None
    buffer = (ctypes.c_ushort * (2 * count + 2))()
    written = pdfium.FPDFText_GetText(raw, 0, count, buffer) - 1
    text = bytes(buffer)[: 2 * written].decode("utf-16-le", "replace")
    if len(text) == count:
        return text, None
    return text, lambda place: max(0, pdfium.FPDFText_GetCharIndexFromTextIndex(raw, place))


def paint(get: Any, item: Any) -> tuple[tuple[int, int, int], int]:
    """Colour and opacity; a pattern counts as black."""
    red, green, blue, opacity = (ctypes.c_uint() for _ in range(4))
    if not get(item, *map(ctypes.byref, (red, green, blue, opacity))):
        return (0, 0, 0), 255
    return (red.value, green.value, blue.value), opacity.value


def holds_image(form: Any) -> bool:
    """Whether a form shows an image itself, not in a form of its own."""
    count = pdfium.FPDFFormObj_CountObjects(form)
    return any(
        pdfium.FPDFPageObj_GetType(pdfium.FPDFFormObj_GetObject(form, index)) == pdfium.FPDF_PAGEOBJ_IMAGE
        for index in range(min(count, 100))
    )


def title_of(document: Any) -> str:
    """The title in the document's metadata, or nothing."""
    with suppress(pypdfium2.PdfiumError):
        return str(document.get_metadata_value("Title") or "")
    return ""
