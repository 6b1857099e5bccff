"""PowerPoint 97 to 2003 presentations (ppt): the text of each slide and its notes.

[MS-PPT] is a tree of records. The document lists its slides with the text of their placeholders; everything
else that a slide says stands in its own drawing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

import olefile

from ingest.parsing.blocks import Block, ParsedDocument, merged_lists
from rag.errors import Damaged, NeedsPassword, NoText

HEADER_BYTES = 8
DOCUMENT, SLIDE, NOTES, LIST, PLACE = 1000, 1006, 1008, 4080, 1011
USER_EDIT, DIRECTORY, CRYPT = 4085, 6002, 12052
TEXT_KIND, CHARACTERS, BYTES, OUTLINE_REFERENCE = 3999, 4000, 4008, 3998
TITLES, BODIES, NOTES_KIND = (0, 6), (1, 5, 7, 8), 2
SLIDES_INSTANCE, NOTES_INSTANCE = 0, 2
MAX_DEPTH = 40
MAX_EDITS = 10_000


class Record(NamedTuple):
    """A record: its kind, its instance, and where its content lies."""

    kind: int
    instance: int
    start: int
    end: int
    is_container: bool


class Said(NamedTuple):
    """A text and what it is for."""

    kind: int
    text: str


def parse(data: bytes) -> ParsedDocument:
    """Titles as headings, the other texts as lists and paragraphs, a page per slide. Raises Damaged."""
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as container:
            stream = container.openstream("PowerPoint Document").read()
            user = container.openstream("Current User").read()
            title = container.get_metadata().title or b""
        presentation = Presentation(stream, struct.unpack_from("<I", user, 16)[0])
        blocks = list(presentation.blocks())
    except (OSError, struct.error, IndexError, ValueError, KeyError) as error:
        raise Damaged(f"the presentation cannot be read: {type(error).__name__}") from None
    if not blocks:
        raise NoText("the presentation holds no text")
    return ParsedDocument(
        tuple(merged_lists(blocks)), title=title.decode("cp1252", "replace"), pages=presentation.slides
    )


class Presentation:
    """The stream of a presentation, and where its persistent objects lie in it."""

    def __init__(self, stream: bytes, edit: int) -> None:
        self._stream = stream
        self._places: dict[int, int] = {}
        self.slides = 0
        document = 0
        for _ in range(MAX_EDITS):  # from the newest edit back
            record = self._record(edit)
            if record.kind != USER_EDIT:
                break
            previous, directory, reference = struct.unpack_from("<III", stream, record.start + 8)
            if record.end - record.start >= 32:
                raise NeedsPassword("the presentation is encrypted; put its password into ingest.passwords")
            document = document or reference
            self._read_directory(directory)
            if not previous or previous >= edit:
                break
            edit = previous
        self._document = self._record(self._places[document])

    def _read_directory(self, at: int) -> None:
        record = self._record(at)
        at = record.start
        while at + 4 <= record.end:
            head = struct.unpack_from("<I", self._stream, at)[0]
            first, count = head & 0xFFFFF, head >> 20
            for index, place in enumerate(struct.unpack_from(f"<{count}I", self._stream, at + 4)):
                self._places.setdefault(first + index, place)
            at += 4 + 4 * count

    def _record(self, at: int) -> Record:
        head, kind, size = struct.unpack_from("<HHI", self._stream, at)
        start = at + HEADER_BYTES
        return Record(kind, head >> 4, start, min(start + size, len(self._stream)), head & 0xF == 0xF)

    def _inside(self, parent: Record) -> Iterator[Record]:
        at = parent.start
        while at + HEADER_BYTES <= parent.end:
            record = self._record(at)
            yield record
            at = record.end

    def blocks(self) -> Iterator[Block]:
        """The blocks of all slides, each followed by its notes."""
        lists = {each.instance: each for each in self._inside(self._document) if each.kind == LIST}
        slides = list(self._listed(lists[SLIDES_INSTANCE])) if SLIDES_INSTANCE in lists else []
        notes = list(self._listed(lists[NOTES_INSTANCE])) if NOTES_INSTANCE in lists else []
        by_number = {number: place for place, number, _ in notes}
        self.slides = len(slides)
        for page, (place, _, outline) in enumerate(slides, 1):
            slide = self._record(self._places[place])
            said = list(self._said(slide, outline))
            if not any(each.kind in TITLES for each in said) or not said:
                said = outline + [each for each in said if each not in outline]
            yield from shown(said, page)
            number = self._notes_of(slide)
            if number in by_number:
                words = self._said(self._record(self._places[by_number[number]]), [])
                spoken = [each.text.strip() for each in words if each.kind == NOTES_KIND]
                if text := "\n".join(filter(None, spoken)).replace("\r", "\n"):
                    yield Block("text", f"Notes: {text}", page=page)

    def _notes_of(self, slide: Record) -> int:
        """The number of the notes of a slide, 0 for none."""
        for record in self._inside(slide):
            if record.kind == 1007 and record.end - record.start >= 20:
                return int(struct.unpack_from("<I", self._stream, record.start + 16)[0])
        return 0

    def _listed(self, listing: Record) -> Iterator[tuple[int, int, list[Said]]]:
        """Persistent object, number and placeholder texts of each slide."""
        place, number, said = 0, 0, list[Said]()
        kind = 0
        for record in self._inside(listing):
            if record.kind == PLACE:
                if place:
                    yield place, number, said
                place, number = struct.unpack_from("<I8xI", self._stream, record.start)
                said = []
            elif record.kind == TEXT_KIND:
                kind = struct.unpack_from("<I", self._stream, record.start)[0]
            elif record.kind in (CHARACTERS, BYTES):
                said.append(Said(kind, self._text(record)))
        if place:
            yield place, number, said

    def _said(self, parent: Record, outline: list[Said], depth: int = 0) -> Iterator[Said]:
        """The texts in a drawing, those of placeholders taken from the list of slides."""
        kind = 4
        for record in self._inside(parent):
            if record.kind == OUTLINE_REFERENCE:
                index = struct.unpack_from("<I", self._stream, record.start)[0]
                if index < len(outline):
                    yield outline[index]
            elif record.kind == TEXT_KIND:
                kind = struct.unpack_from("<I", self._stream, record.start)[0]
            elif record.kind in (CHARACTERS, BYTES):
                yield Said(kind, self._text(record))
            elif depth < MAX_DEPTH and (record.is_container or record.kind == 0xF00D):
                yield from self._said(record, outline, depth + 1)

    def _text(self, record: Record) -> str:
        raw = self._stream[record.start : record.end]
        return raw.decode("latin-1") if record.kind == BYTES else raw.decode("utf-16-le", "replace")


def shown(said: list[Said], page: int) -> Iterator[Block]:
    """Blocks of the texts of a slide, the title first."""
    for kind, text in sorted(said, key=lambda each: each.kind not in TITLES):
        lines = [" ".join(line.split()) for line in text.replace("\x0b", " ").split("\r")]
        lines = [line for line in lines if line and line != "*"]  # a lone star stands for date or number
        if not lines:
            continue
        if kind in TITLES:
            yield Block("heading", " ".join(lines), level=1, page=page)
        elif kind in BODIES and len(lines) > 1:
            yield Block("list", "\n".join(f"- {line}" for line in lines), page=page)
        else:
            yield Block("text", "\n".join(lines), page=page)
