"""Writes PDFs for tests and benchmarks: text, rules, boxes and pictures at given places, and nothing else.

Places are in points from the lower left corner, as PDF has them.
"""

from __future__ import annotations

import ctypes
import zlib
from functools import cache

import pypdfium2
import pypdfium2.raw as pdfium

FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier"}


@cache
def glyph_width(font: str, character: str) -> float:
    """The width of a character of a standard font, in thousandths of the font size."""
    document = pypdfium2.PdfDocument.new()
    try:
        loaded = pdfium.FPDFText_LoadStandardFont(document.raw, FONTS[font].encode())
        width = ctypes.c_float()
        pdfium.FPDFFont_GetGlyphWidth(loaded, ord(character), 1000.0, ctypes.byref(width))
        return width.value
    finally:
        document.close()


def text_width(text: str, size: float, font: str = "F1") -> float:
    """The width of a text in points."""
    return sum(glyph_width(font, character) for character in text) * size / 1000


class PdfPage:
    """One page: operators of its content stream, and what its dictionary says beside it."""

    def __init__(self, width: float = 595, height: float = 842, *, extra: str = "") -> None:
        self.width, self.height, self.extra = width, height, extra
        self.operators: list[str] = []
        self.pictures: list[tuple[int, int, bytes]] = []

    def text(self, x: float, y: float, text: str, size: float = 10, font: str = "F1", more: str = "") -> None:
        """Text from this point of its base line; `more`: operators in front, such as `1 g` or `3 Tr`."""
        shown = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        self.operators.append(f"q {more} BT /{font} {size} Tf {x:.2f} {y:.2f} Td ({shown}) Tj ET Q")

    def line(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """A thin line."""
        self.operators.append(f"0.5 w {x:.2f} {y:.2f} m {to_x:.2f} {to_y:.2f} l S")

    def fill(self, x: float, y: float, width: float, height: float, colour: str = "0 0 0") -> None:
        """A filled rectangle."""
        self.operators.append(f"q {colour} rg {x:.2f} {y:.2f} {width:.2f} {height:.2f} re f Q")

    def picture(self, x: float, y: float, width: float, height: float, pixels: bytes, columns: int) -> None:
        """A grey picture of rows of `columns` pixels."""
        name = f"I{len(self.pictures)}"
        self.pictures.append((columns, len(pixels) // columns, pixels))
        self.operators.append(f"q {width:.2f} 0 0 {height:.2f} {x:.2f} {y:.2f} cm /{name} Do Q")


def written(pages: list[PdfPage], *, title: str = "") -> bytes:
    """A PDF of these pages."""
    objects: list[bytes] = [b"", b""]  # the catalog and the page tree come when the pages are known
    fonts = []
    for name, base in FONTS.items():
        encoding = "/Encoding /WinAnsiEncoding"
        objects.append(f"<< /Type /Font /Subtype /Type1 /BaseFont /{base} {encoding} >>".encode())
        fonts.append(f"/{name} {len(objects)} 0 R")
    kids = []
    for page in pages:
        names = []
        for number, (width, height, pixels) in enumerate(page.pictures):
            head = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
            objects.append(stream(head + "/ColorSpace /DeviceGray /BitsPerComponent 8", pixels))
            names.append(f"/I{number} {len(objects)} 0 R")
        objects.append(stream("", "\n".join(page.operators).encode("cp1252")))
        resources = f"<< /Font << {' '.join(fonts)} >> /XObject << {' '.join(names)} >> >>"
        box = f"/MediaBox [0 0 {page.width} {page.height}]"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R {box} {page.extra} /Resources {resources} "
            f"/Contents {len(objects)} 0 R >>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    objects.append(f"<< /Title ({title}) >>".encode())
    return numbered(objects)


def stream(head: str, data: bytes) -> bytes:
    """A compressed stream object."""
    packed = zlib.compress(data)
    return b"<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (
        head.encode(),
        len(packed),
        packed,
    )


def numbered(objects: list[bytes]) -> bytes:
    """The file: objects, their table, and the trailer."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        len(objects),
        start,
    )
    return bytes(out)
