"""Pages of documents as pictures, with the cited words marked; drawn in a child, because drawing runs native
code on what strangers wrote."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.answering.citations import boxes_of
from rag.errors import BadRequest, NotFound, Unsupported
from rag.store.catalog import Catalog
from rag.store.originals import Originals
from rag.types import Box, Chunk, Document, Principal
from rag.workers import Caller

PDF = "application/pdf"
TIMEOUT_S = 60.0  # more than the child gives one page
MOST_MARKS = 200


@dataclass(frozen=True, slots=True)
class Span:
    """chunk.text[start:end], the words that a citation quotes."""

    chunk: Chunk
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A page, counted from 1, as a PNG."""

    page: int
    png: bytes


class PageImages:
    """Draws pages through the child behind `caller` (ingest.parsing.rendering.PageService)."""

    def __init__(self, caller: Caller, home: Path) -> None:
        self._caller, self._originals = caller, Originals(home)

    async def draw(
        self,
        document: Document,
        page: int,
        boxes: Iterable[Box] = (),
        *,
        quote: Span | None = None,
        section: str = "",
    ) -> Picture:
        """A page with these boxes marked; boxes of other pages are left out.

        With a quote, its printed lines are marked in their place, on the page of the chunk that holds it. If
        its words are not found, as in a scan, it is the page asked for with the boxes, or without any with
        those of the quote's paragraphs.

        Raises Unsupported for a format without pages, naming `section`, where the reader should open the
        document instead; NotFound when the page or the bytes are not there; LimitExceeded, Damaged or
        NeedsPassword when it cannot be drawn.
        """
        if document.media_type != PDF:
            raise Unsupported(no_pages(document, section))
        coarse = tuple(boxes) or (boxes_of(quote.chunk, quote.start, quote.end) if quote else ())
        drawn = await self._call(
            "render",
            document,
            page=page,
            boxes=[edges(box) for box in coarse if box.page == page],
            **(sought(quote) if quote else {}),
        )
        return Picture(drawn["page"], base64.b64decode(drawn["png"]))

    async def lines(self, document: Document, quote: Span) -> tuple[Box, ...]:
        """A box for each printed line of a quote; those of its paragraphs where its words are not found.

        Empty for a format without pages. Raises as `draw` does.
        """
        coarse = boxes_of(quote.chunk, quote.start, quote.end)
        if document.media_type != PDF or not coarse:
            return coarse
        found = await self._call("lines", document, **sought(quote))
        return tuple(Box(page, *box) for page, box in found["lines"]) or coarse

    async def _call(self, method: str, document: Document, **arguments: Any) -> dict[str, Any]:
        kept = self._originals.path(document.sha256)
        path = kept if await asyncio.to_thread(kept.exists) else Path(document.uri)
        reply: dict[str, Any] = await self._caller.call(
            method, timeout_s=TIMEOUT_S, path=str(path), sha256=document.sha256, **arguments
        )
        return reply


def sought(quote: Span) -> dict[str, Any]:
    """A quote as the child takes it."""
    return {
        "quote": (quote.chunk.text, quote.start, quote.end),
        "area": [(box.page, edges(box)) for box in quote.chunk.boxes],
    }


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


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
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != 4 or not all(map(math.isfinite, found)):
        raise BadRequest(f"highlight {text[:60]!r} is no box; write left,top,right,bottom in points")
    left, top, right, bottom = found
    return Box(page, left, top, right, bottom)


def span(
    catalog: Catalog, caller: Principal, document: Document, chunk_id: str, start: int, end: int | None
) -> Span:
    """The words of a chunk of this document that the caller may read; without an end, up to the chunk's.

    Raises NotFound for a chunk that is not live or not the caller's to read, BadRequest for a span outside.
    """
    stored = catalog.passages([chunk_id], caller).get(chunk_id)
    if stored is None or stored.document.id != document.id:
        raise NotFound(
            f"no chunk {chunk_id[:60]!r} in document {document.id!r}; ask again for a live citation"
        )
    length = len(stored.chunk.text)
    end = length if end is None else end
    if not 0 <= start < end <= length:
        raise BadRequest(f"no words from {start} to {end}: chunk {chunk_id!r} has {length} characters")
    return Span(stored.chunk, start, end)
