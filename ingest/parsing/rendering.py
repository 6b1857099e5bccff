"""A page of a PDF as a picture, with the words that were cited marked, in a process that may die of it."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw

from ingest.parsing.confinement import Confinement
from ingest.parsing.pages import opened, page_of
from rag.errors import Damaged, LimitExceeded, NotFound, RagError, from_wire, to_wire

LOWEST_DPI, HIGHEST_DPI = 36, 300
MAX_PIXELS = 8_000_000
MAX_BOXES = 200
MARGIN = 1.5  # points by which a mark is larger than its words
MARKER = (255, 235, 110)  # multiplied with the page, so that black letters stay black
OUTLINE = (196, 140, 0)

Box = tuple[float, float, float, float]


class PageService:
    """What runs in the worker that draws: one child per page, with limits and without network."""

    methods = ("render",)

    def __init__(
        self, timeout_s: float, memory_bytes: int, max_file_bytes: int, passwords: Sequence[str] = ()
    ) -> None:
        self._confinement = Confinement(timeout_s=timeout_s, memory_bytes=memory_bytes)
        self._max_file_bytes, self._passwords = max_file_bytes, tuple(passwords)
        gc.freeze()  # the children's collector must not touch, and so copy, our pages

    def render(self, path: str, sha256: str, page: int, boxes: list[Box], dpi: float = 110.0) -> str:
        """The page with this number from 1 as a PNG in base64; `boxes` are (left, top, right, bottom) in
        points from its top left corner.

        Raises NotFound for a file that is not `sha256` any more and for a page that there is not, and a
        ParseError for what cannot be drawn within the limits.
        """

        def work(note: Callable[[str], None]) -> dict[str, Any]:
            note("PDF")
            try:
                data = self._bytes(Path(path), sha256)
                return {"png": base64.b64encode(png(data, page, boxes, dpi, self._passwords)).decode()}
            except RagError as error:
                return {"error": to_wire(error)}

        outcome = self._confinement.run(work)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.result is not None
        if "error" in outcome.result:
            raise from_wire(outcome.result["error"])
        return str(outcome.result["png"])

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


def png(
    data: bytes, page: int, boxes: Sequence[Box], dpi: float = 110.0, passwords: Sequence[str] = ()
) -> bytes:
    """A page of a PDF as a PNG with marked boxes.

    Raises NotFound, NeedsPassword, Damaged or LimitExceeded.
    """
    if len(boxes) > MAX_BOXES:
        raise LimitExceeded(f"{len(boxes)} places to mark, the limit is {MAX_BOXES}")
    with opened(data, passwords) as document:
        if not 1 <= page <= len(document):
            raise NotFound(f"no page {page}; the document has {len(document)}")
        with page_of(document, page - 1) as found:
            if found is None:
                raise Damaged(f"page {page} cannot be loaded")
            raster = found.render(
                dpi=min(max(dpi, LOWEST_DPI), HIGHEST_DPI), max_pixels=MAX_PIXELS, grey=False
            )
    picture = Image.frombuffer(
        "RGB", (raster.width, raster.height), raster.pixels, "raw", "BGRX", raster.stride, 1
    )
    file = io.BytesIO()
    marked(picture, boxes, raster.scale).save(file, "png")
    return file.getvalue()


def marked(picture: Image.Image, boxes: Sequence[Box], scale: float) -> Image.Image:
    """The picture with boxes tinted as by a marker pen; what lies beside the page is cut off."""
    tint = Image.new("RGB", picture.size, (255, 255, 255))
    pen = ImageDraw.Draw(tint)
    for left, top, right, bottom in boxes:
        if right < left or bottom < top:
            continue
        corners = (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)
        pen.rectangle([round(edge * scale) for edge in corners], fill=MARKER, outline=OUTLINE)
    return ImageChops.multiply(picture, tint)
