"""Pages of documents as pictures, with the cited words marked; drawn in a child, because drawing runs native
code on what strangers wrote."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from rag.errors import BadRequest, Unsupported
from rag.store.originals import Originals
from rag.types import Box, Document
from rag.workers import Caller

PDF = "application/pdf"
TIMEOUT_S = 60.0  # more than the child gives one page
MOST_MARKS = 200


class PageImages:
    """Draws pages through the child behind `caller` (ingest.parsing.rendering.PageService)."""

    def __init__(self, caller: Caller, home: Path) -> None:
        self._caller, self._originals = caller, Originals(home)

    async def png(
        self, document: Document, page: int, boxes: Iterable[Box] = (), *, section: str = ""
    ) -> bytes:
        """A page, counted from 1, as a PNG with these boxes marked; boxes of other pages are left out.

        Raises Unsupported for a format without pages, naming `section`, where the reader should open the
        document instead; NotFound when the page or the bytes are not there; LimitExceeded, Damaged or
        NeedsPassword when it cannot be drawn.
        """
        if document.media_type != PDF:
            raise Unsupported(no_pages(document, section))
        kept = self._originals.path(document.sha256)
        path = kept if await asyncio.to_thread(kept.exists) else Path(document.uri)
        marks = [(box.left, box.top, box.right, box.bottom) for box in boxes if box.page == page]
        picture: str = await self._caller.call(
            "render", timeout_s=TIMEOUT_S, path=str(path), sha256=document.sha256, page=page, boxes=marks
        )
        return base64.b64decode(picture)


def no_pages(document: Document, section: str) -> str:
    """Why a format cannot be shown as a page, and where to look instead."""
    where = f"; open the document at {section!r}" if section else "; open the document itself"
    return f"{document.title!r} ({document.media_type or 'unknown type'}) has no pages to draw{where}"


def marks(page: int, written: Sequence[str]) -> list[Box]:
    """Boxes from a request, each "left,top,right,bottom" in points from the page's top left corner.

    Raises BadRequest that names the one that is none.
    """
    if len(written) > MOST_MARKS:
        raise BadRequest(f"{len(written)} highlights, at most {MOST_MARKS} are drawn")
    return [_mark(page, text) for text in written]


def _mark(page: int, text: str) -> Box:
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        edges = []
    if len(edges) != 4 or not all(map(math.isfinite, edges)):
        raise BadRequest(f"highlight {text[:60]!r} is no box; write left,top,right,bottom in points")
    return Box(page, *edges)
