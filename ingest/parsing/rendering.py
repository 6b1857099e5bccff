"""A page of a PDF as a picture, with the words that were cited marked, in a process that may die of it."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageChops, ImageDraw

from ingest.parsing.confinement import Confinement
from ingest.parsing.pages import opened, page_of
from ingest.parsing.quotes import Quote, marks, within
from ingest.parsing.words import Edges, Letter
from rag.errors import Damaged, LimitExceeded, NotFound, RagError, from_wire, to_wire

LOWEST_DPI, HIGHEST_DPI = 36, 300
MAX_PIXELS = 8_000_000
MAX_BOXES = 200
MAX_LETTERS = 50_000  # of a page that is searched for a quote; nobody could read one with more
MAX_PAGES = 8  # of a chunk; one that stands on more holds a few words of each
MARGIN = 1.5  # points by which a mark is larger than its words
MARKER = (255, 235, 110)  # multiplied with the page, so that black letters stay black
OUTLINE = (196, 140, 0)

Box = tuple[float, float, float, float]


class PageService:
    """What runs in the worker that draws: one child per page, with limits and without network."""

    methods = ("render", "lines")

    def __init__(
        self, timeout_s: float, memory_bytes: int, max_file_bytes: int, passwords: Sequence[str] = ()
    ) -> None:
        self._confinement = Confinement(timeout_s=timeout_s, memory_bytes=memory_bytes)
        self._max_file_bytes, self._passwords = max_file_bytes, tuple(passwords)
        gc.freeze()  # the children's collector must not touch, and so copy, our pages

    def render(
        self,
        path: str,
        sha256: str,
        page: int,
        boxes: list[Box],
        dpi: float = 110.0,
        quote: tuple[str, int, int] | None = None,
        area: Sequence[tuple[int, Box]] = (),
    ) -> dict[str, Any]:
        """{"page", "png"}: the page with this number from 1, in base64; `boxes` are (left, top, right,
        bottom) in points from its top left corner.

        `quote`: a chunk's text with start and end of the words whose lines are marked in place of the boxes;
        `area`: page and box of each place where the chunk stands. Another page of these is drawn when the
        words stand only there.

        Raises NotFound for a file that is not `sha256` any more and for a page that there is not, and a
        ParseError for what cannot be drawn within the limits.
        """
        wanted = wanted_of(quote, area) if quote else None

        def draw(data: bytes) -> dict[str, Any]:
            drawn = picture_of(data, page, boxes, dpi, self._passwords, wanted=wanted)
            return {"page": drawn.page, "png": base64.b64encode(drawn.png).decode()}

        return self._confined(path, sha256, draw)

    def lines(
        self, path: str, sha256: str, quote: tuple[str, int, int], area: Sequence[tuple[int, Box]]
    ) -> dict[str, Any]:
        """{"lines": page and box of each printed line of a quote}; none when it is not found. As `render`."""

        def look(data: bytes) -> dict[str, Any]:
            with opened(data, self._passwords) as document:
                found = wanted_of(quote, area).lines(document)
            return {"lines": [(page, edges) for page, part in found.items() for edges in part]}

        return self._confined(path, sha256, look)

    def _confined(self, path: str, sha256: str, what: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
        """What is made of the bytes of a file, in a child of its own."""

        def work(note: Callable[[str], None]) -> dict[str, Any]:
            note("PDF")
            try:
                return what(self._bytes(Path(path), sha256))
            except RagError as error:
                return {"error": to_wire(error)}

        outcome = self._confinement.run(work)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.result is not None
        if "error" in outcome.result:
            raise from_wire(outcome.result["error"])
        return outcome.result

    def _bytes(self, path: Path, sha256: str) -> bytes:
        try:
            if path.stat().st_size > self._max_file_bytes:
                raise LimitExceeded(f"the file is larger than {self._max_file_bytes} bytes")
            data = path.read_bytes()
        except OSError:
            raise NotFound("the bytes of this document are not here; look at its source") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NotFound("the file changed since it was indexed; its pages are shown after the next ingest")
        return data


class Picture(NamedTuple):
    """A drawn page, and its number from 1."""

    page: int
    png: bytes


def picture_of(
    data: bytes,
    page: int,
    boxes: Sequence[Box],
    dpi: float = 110.0,
    passwords: Sequence[str] = (),
    *,
    wanted: Wanted | None = None,
) -> Picture:
    """A page of a PDF with the lines of a quote marked, or the boxes where it is not found. When the quote
    stands on another page only, that one is drawn.

    Raises NotFound, NeedsPassword, Damaged or LimitExceeded.
    """
    if len(boxes) > MAX_BOXES:
        raise LimitExceeded(f"{len(boxes)} places to mark, the limit is {MAX_BOXES}")
    with opened(data, passwords) as document:
        if not 1 <= page <= len(document):
            raise NotFound(f"no page {page}; the document has {len(document)}")
        found = wanted.lines(document) if wanted else {}
        if found and page not in found:
            page = max(found, key=lambda number: len(found[number]))
        with page_of(document, page - 1) as shown:
            if shown is None:
                raise Damaged(f"page {page} cannot be loaded")
            raster = shown.render(
                dpi=min(max(dpi, LOWEST_DPI), HIGHEST_DPI), max_pixels=MAX_PIXELS, grey=False
            )
    plain = Image.frombuffer(
        "RGB", (raster.width, raster.height), raster.pixels, "raw", "BGRX", raster.stride, 1
    )
    file = io.BytesIO()
    marked(plain, found.get(page, boxes), raster.scale).save(file, "png")
    return Picture(page, file.getvalue())


class Wanted(NamedTuple):
    """A quote to be found, and where its chunk stands: page from 1 and edges."""

    quote: Quote
    area: tuple[tuple[int, Edges], ...]

    def lines(self, document: Any) -> dict[int, list[Edges]]:
        """The printed lines of the quote by page; nothing of pages that are pictures or too full."""
        letters: dict[int, list[Letter]] = {}
        for number in sorted({page for page, _ in self.area})[:MAX_PAGES]:
            with page_of(document, number - 1) as page:
                if page is not None:
                    edges = [box for each, box in self.area if each == number]
                    letters[number] = within(page.letters(MAX_LETTERS), edges)
        return marks(self.quote, letters)


def wanted_of(quote: tuple[str, int, int], area: Sequence[tuple[int, Box]]) -> Wanted:
    return Wanted(Quote(*quote), tuple((page, Edges(*box)) for page, box in area))


def marked(picture: Image.Image, boxes: Sequence[Box], scale: float) -> Image.Image:
    """The picture with boxes tinted as by a marker pen; what lies beside the page is cut off."""
    tint = Image.new("RGB", picture.size, (255, 255, 255))
    pen = ImageDraw.Draw(tint)
    corners = [
        [round(edge * scale) for edge in (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)]
        for left, top, right, bottom in boxes
        if left <= right and top <= bottom
    ]
    for each in corners:
        pen.rectangle(each, fill=OUTLINE)
    for left, top, right, bottom in corners:  # afterwards, so that lines below each other have one outline
        pen.rectangle((left + 1, top + 1, right - 1, bottom - 1), fill=MARKER)
    return ImageChops.multiply(picture, tint)
