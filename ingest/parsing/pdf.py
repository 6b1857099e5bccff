"""PDF: pages are read one by one, then headings, paragraphs and tables found by the looks of all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ingest.parsing import ink, layout, ocr, order, scans
from ingest.parsing.blocks import Block, ParsedDocument
from ingest.parsing.pages import CHEAP_OBJECTS, MAX_OBJECTS, Page, opened, page_of, title_of
from ingest.parsing.ruling import ruled
from ingest.parsing.words import Line, Table, Word
from rag.errors import LimitExceeded, NoText

MAX_PAGES = 5_000
# Pages held at once: enough to know headers, footers and the body's font, few enough for a flat memory.
WINDOW = 200
FEW_CHARACTERS = 20
GARBAGE = 0.3  # share of characters without meaning that makes a text layer worthless
LOST = re.compile("[\ufffd\ue000-\uf8ff]")


@dataclass
class PageContent:
    """What one page holds: lines and tables, or the blocks of a recognised scan; then notes."""

    items: list[Line | Table] = field(default_factory=list)
    scanned: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse(
    data: bytes,
    *,
    ocr_languages: str | None = None,
    passwords: Sequence[str] = (),
    progress: Callable[[], None] = lambda: None,
) -> ParsedDocument:
    """The blocks of a PDF; pages without text are recognised when `ocr_languages` ("deu", "auto") is given.

    `progress` is called after each recognised page, for who bounds the time. Raises NeedsPassword, Damaged,
    LimitExceeded, or NoText when no page holds text.
    """
    with opened(data, passwords) as document:
        count = len(document)
        if count > MAX_PAGES:
            raise LimitExceeded(f"{count} pages, the limit is {MAX_PAGES}")
        reader = Reader(document, ocr_languages, progress)
        blocks = tuple(joined(reader.blocks(count)))
        if not blocks:
            raise NoText(reader.unread_reason() or "no page holds text")
        return ParsedDocument(blocks, title=title_of(document), pages=count, warnings=reader.warnings())


class Reader:
    """Reads one document and counts what it leaves out."""

    def __init__(self, document: Any, languages: str | None, progress: Callable[[], None]) -> None:
        self._document, self._progress = document, progress
        self._trouble = "recognising text (ingest.ocr) is switched off"
        self._recogniser: scans.Recogniser | None = None
        self._languages = languages
        self._hidden = self._unread = self._failed = 0

    def blocks(self, count: int) -> Iterator[Block]:
        """The blocks of all pages, without the headers and footers that repeat."""
        style = layout.Style()
        for start in range(0, count, WINDOW):
            window = [self._page(number) for number in range(start, min(start + WINDOW, count))]
            items = [page.items for page in window]
            style.learn(items)
            repeated = layout.furniture(items)
            for number, page in enumerate(window, start + 1):
                yield from page.scanned
                kept = [
                    item
                    for item in page.items
                    if isinstance(item, Table) or layout.skeleton(item) not in repeated
                ]
                yield from layout.blocks(kept, style, number=number)
                yield from (Block("text", note, page=number) for note in page.notes)

    def _page(self, number: int) -> PageContent:
        with page_of(self._document, number) as page:
            if page is None:
                self._failed += 1
                return PageContent()
            rows: Sequence[Sequence[Word]] = page.rows()
            drawing = page.drawing(MAX_OBJECTS if worth_drawing(rows) else CHEAP_OBJECTS)
            rows, hidden = ink.visible(rows, page, drawing)
            self._hidden += hidden
            found = PageContent(notes=list(page.notes()))
            worthless = is_garbage(rows)
            if worthless or (drawing.pictures and length(rows) < FEW_CHARACTERS):
                found.scanned = self._recognise(page, number + 1)
            if not found.scanned and not worthless:
                items = ruled(order.mended(rows), drawing.rules)
                found.items = layout.lines(items, height=page.height)
            return found

    def _recognise(self, page: Page, number: int) -> list[Block]:
        """The blocks of a scanned page; none, and one more unread page, when there is nobody to read it."""
        if self._recogniser is None and self._languages is not None:
            self._trouble = ocr.problem(self._languages)
            if not self._trouble:
                self._recogniser = scans.Recogniser(self._languages)
        if self._recogniser is None:
            self._unread += 1
            return []

        def picture(degrees: int) -> ocr.Picture:
            raster = page.render(dpi=scans.OCR_DPI, max_pixels=scans.MAX_OCR_PIXELS, grey=True, turn=degrees)
            return scans.picture_of(raster.pixels, raster.width, raster.height, raster.stride)

        scale = page.scale(scans.OCR_DPI, scans.MAX_OCR_PIXELS)
        try:
            return self._recogniser.read(
                picture, page=number, width=page.width, height=page.height, scale=scale
            )
        except LimitExceeded as error:
            self._unread, self._trouble = self._unread + 1, str(error)
            return []
        finally:
            self._progress()

    def unread_reason(self) -> str:
        """Why scanned pages stay unread; "" if none does."""
        return f"{self._unread} scanned pages were not read: {self._trouble}" if self._unread else ""

    def warnings(self) -> tuple[str, ...]:
        """What was left out."""
        found = [self.unread_reason()]
        if self._hidden:
            found.append(f"{self._hidden} characters that no reader can see removed")
        if self._failed:
            found.append(f"{self._failed} damaged pages were not read")
        if self._recogniser:
            found += self._recogniser.warnings
        return tuple(filter(None, found))


def worth_drawing(rows: Sequence[Sequence[Word]]) -> bool:
    """Whether a page may hold a table, a scan or hidden text, which what is drawn on it can tell."""
    wide = sum(
        word.left - before.right > 2 * word.face.size for row in rows for before, word in pairwise(row)
    )
    jumps = sum(
        other[0].left > one[-1].right and other[0].top < one[-1].bottom for one, other in pairwise(rows)
    )
    return wide + jumps > 1 or length(rows) < FEW_CHARACTERS or any(not row[0].face.painted for row in rows)


def length(rows: Sequence[Sequence[Word]]) -> int:
    return sum(len(word.text) for row in rows for word in row)


def is_garbage(rows: Sequence[Sequence[Word]]) -> bool:
    """Whether a page's characters have lost their meaning: a font without a table to Unicode."""
    text = "".join(word.text for row in rows for word in row)
    lost = len(LOST.findall(text))
    return lost > GARBAGE * len(text) and lost >= FEW_CHARACTERS


def joined(blocks: Iterator[Block]) -> Iterator[Block]:
    """Blocks, with list items put together that follow each other on a page."""
    last: Block | None = None
    for block in blocks:
        if last and last.kind == block.kind == "list" and last.page == block.page:
            last = layout.merged(last, block)
            continue
        if last:
            yield last
        last = block
    if last:
        yield last
