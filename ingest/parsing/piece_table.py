"""The inside of a Word 97 to 2003 file: characters by the piece table, and what holds where for their look.

[MS-DOC] names the parts: the FIB at the start of the stream WordDocument says where the piece table (CLX),
the style sheet (STSH) and the tables of formatted pages (PLCs of FKPs) lie in the stream 0Table or 1Table.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

PAGE_BYTES = 512
# Offsets in the FIB of Word 97: of (fc, lcb) pairs, and of the lengths of the parts of the text.
STYLES_AT, CHARACTERS_AT, PARAGRAPHS_AT, PIECES_AT = 0x00A2, 0x00FA, 0x0102, 0x01A2
LENGTHS_AT = 0x004C
SHOWN_PARTS = (
    True,
    True,
    False,
    False,
    False,
    True,
    True,
    False,
)  # text, notes and boxes; no headers, remarks
OPERAND_BYTES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}
TABLE_DEFINITION = 0xD608  # the one property whose length takes two bytes
TITLE_STYLE = 62


class Piece(NamedTuple):
    """Text that lies together in the file: where, its characters, bytes per character."""

    place: int
    text: str
    width: int


@dataclass
class Runs:
    """Ranges of the file, in order, and what holds for each."""

    starts: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)

    def at(self, place: int) -> tuple[bytes, int]:
        """What holds at a place, and where it ends to hold."""
        index = bisect_right(self.starts, place)
        end = self.starts[index] if index < len(self.starts) else 1 << 62
        return (self.values[index - 1] if index else b""), end


class PieceTable:
    """The streams of a document. Raises struct.error, IndexError or ValueError for damaged ones."""

    def __init__(self, stream: bytes, tables: bytes) -> None:
        self._stream, self._tables = stream, tables
        self.paragraphs = self._formatted(PARAGRAPHS_AT, paragraph=True)
        self.characters = self._formatted(CHARACTERS_AT, paragraph=False)
        self.levels = self._heading_levels()

    def _range(self, at: int) -> bytes:
        offset, size = struct.unpack_from("<II", self._stream, at)
        return self._tables[offset : offset + size]

    def pieces(self) -> Iterator[Piece]:
        """The pieces of the text, the notes and the boxes."""
        clx, at = self._range(PIECES_AT), 0
        while clx[at] == 1:  # formatting that pieces share
            at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
        plc = clx[at + 5 : at + 5 + struct.unpack_from("<I", clx, at + 1)[0]]
        count = (len(plc) - 4) // 12
        numbers = struct.unpack_from(f"<{count + 1}I", plc)
        for index in range(count):
            raw = struct.unpack_from("<I", plc, 4 * (count + 1) + 8 * index + 2)[0]
            for first, last in self._shown(numbers[index], numbers[index + 1]):
                yield self._piece(raw, first - numbers[index], last - first)

    def _piece(self, raw: int, skipped: int, length: int) -> Piece:
        if raw & 0x40000000:
            place = (raw & 0x3FFFFFFF) // 2 + skipped
            return Piece(place, self._stream[place : place + length].decode("cp1252", "replace"), 1)
        place = raw + 2 * skipped
        text = self._stream[place : place + 2 * length].decode("utf-16-le", "replace")
        # A character outside the basic plane took two places: keep the count with one that is dropped later.
        return Piece(place, "".join(c if ord(c) < 0x10000 else f"{c}\x01" for c in text), 2)

    def _shown(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of a range of character numbers lies in parts that a reader sees."""
        start = 0
        for length, shown in zip(
            struct.unpack_from("<8i", self._stream, LENGTHS_AT), SHOWN_PARTS, strict=True
        ):
            end = start + max(0, length)
            if shown and max(first, start) < min(last, end):
                yield max(first, start), min(last, end)
            start = end

    def _formatted(self, at: int, *, paragraph: bool) -> Runs:
        """The properties on all formatted pages, by where in the file they begin to hold."""
        plc = self._range(at)
        count = max(0, (len(plc) - 4) // 8)
        runs = Runs()
        for page in struct.unpack_from(f"<{count}I", plc, 4 * (count + 1)) if count else ():
            fkp = self._stream[(page & 0x3FFFFF) * PAGE_BYTES :][:PAGE_BYTES]
            rows = fkp[PAGE_BYTES - 1]
            runs.starts += struct.unpack_from(f"<{rows}I", fkp)
            listing = paragraph_listing if paragraph else character_listing
            runs.values += [listing(fkp, rows, row) for row in range(rows)]
        return runs

    def _heading_levels(self) -> dict[int, int]:
        """Style -> heading level, by the numbers that Word gives its own styles, in any language."""
        sheet = self._range(STYLES_AT)
        size, count, base = struct.unpack_from("<HHH", sheet)
        levels: dict[int, int] = {}
        parents: dict[int, int] = {}
        at = 2 + size
        for style in range(count):
            length = struct.unpack_from("<H", sheet, at)[0]
            if length >= base >= 4:
                kind, parent = struct.unpack_from("<HH", sheet, at + 2)
                kind, parents[style] = kind & 0x0FFF, parent >> 4
                if 1 <= kind <= 9 or kind == TITLE_STYLE:
                    levels[style] = kind if kind != TITLE_STYLE else 1
            at += 2 + length + length % 2
        for style, parent in parents.items():
            if style not in levels and parent in levels:
                levels[style] = levels[parent]
        return levels


def paragraph_listing(fkp: bytes, rows: int, row: int) -> bytes:
    """Style number and property list of a paragraph on a formatted page."""
    place = fkp[4 * (rows + 1) + 13 * row] * 2
    if not place:
        return b""
    if fkp[place]:
        return fkp[place + 1 : place + 2 * fkp[place]]
    return fkp[place + 2 : place + 2 + 2 * fkp[place + 1]]


def character_listing(fkp: bytes, rows: int, row: int) -> bytes:
    """Property list of a run on a formatted page."""
    place = fkp[4 * (rows + 1) + row] * 2
    return fkp[place + 1 : place + 1 + fkp[place]] if place else b""


def properties(listing: bytes) -> dict[int, int]:
    """Property (sprm) -> the first one or two bytes of its operand."""
    found: dict[int, int] = {}
    at = 0
    while at + 2 < len(listing):
        sprm = struct.unpack_from("<H", listing, at)[0]
        at += 2
        size = OPERAND_BYTES.get(sprm >> 13, listing[at] + 1)
        if sprm == TABLE_DEFINITION and at + 1 < len(listing):
            size = struct.unpack_from("<H", listing, at)[0] + 1
        found[sprm] = int.from_bytes(listing[at : at + min(size, 2)], "little")
        at += size
    return found
