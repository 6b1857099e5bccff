"""Word 97 to 2003 documents (doc): headings, paragraphs, lists, tables, without Word or LibreOffice."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import olefile

from ingest.parsing.blocks import Block, ParsedDocument, merged_lists, table
from ingest.parsing.piece_table import Piece, PieceTable, properties
from ingest.parsing.visibility import warning
from rag.errors import Damaged, NeedsPassword, Unsupported

MAGIC, WORD_97 = 0xA5EC, 0xC0
ENCRYPTED, FIRST_TABLE = 0x0100, 0x0200
CELL, FIELD, RESULT, FIELD_END = "\x07", "\x13", "\x14", "\x15"
MARKS = "\r\x07\x0c"
# The properties that are read, by their sprm numbers.
IN_TABLE, ROW_END, LIST, LIST_LEVEL, OUTLINE, HIDDEN = 0x2416, 0x2417, 0x460B, 0x260A, 0x2640, 0x083C
NO_LIST = 0xF801  # from here on the number says that a list was taken away
BODY_LEVEL = 9
SPECIAL = {0x0B: "\n", 0x1E: "-", 0xA0: " ", 0x1F: None, 0x01: None, 0x02: None, 0x05: None, 0x08: None}


def parse(data: bytes) -> ParsedDocument:
    """The blocks of a document. Raises Damaged, NeedsPassword, or Unsupported for Word 95 and older."""
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as container:
            stream = container.openstream("WordDocument").read()
            magic, version, flags = struct.unpack_from("<HH6xH", stream)
            if magic != MAGIC or version < WORD_97:
                raise Unsupported("a Word document older than Word 97: save it as .docx")
            if flags & ENCRYPTED:
                raise NeedsPassword("the document is encrypted; put its password into ingest.passwords")
            tables = container.openstream("1Table" if flags & FIRST_TABLE else "0Table").read()
            title = container.get_metadata().title or b""
        reader = Reader(PieceTable(stream, tables))
    except (OSError, struct.error, IndexError, ValueError, KeyError) as error:
        raise Damaged(f"the Word document cannot be read: {type(error).__name__}") from None
    blocks = tuple(merged_lists(reader.blocks))
    return ParsedDocument(blocks, title=title.decode("cp1252", "replace"), warnings=warning(reader.hidden))


@dataclass(frozen=True, slots=True)
class Look:
    """What the properties of a paragraph say that matters here. `list_level` None: it is in no list."""

    style: int = 0
    in_table: bool = False
    row_end: bool = False
    list_level: int | None = None
    outline: int = BODY_LEVEL


class Reader:
    """Collects blocks from the characters, paragraph by paragraph."""

    def __init__(self, document: PieceTable) -> None:
        self.blocks: list[Block] = []
        self.hidden = 0
        self._document = document
        self._line: list[str] = []
        self._cell: list[str] = []  # paragraphs of the cell that is open
        self._cells: list[str] = []
        self._rows: list[list[str]] = []
        self._fields: list[bool] = []  # fields that are open, and whether their result has begun
        self._unseen = False
        for piece in document.pieces():
            self._read(piece)
        self._close_table()

    def _read(self, piece: Piece) -> None:
        end = -1
        for index, character in enumerate(piece.text):
            place = piece.place + index * piece.width
            if place >= end:
                listing, end = self._document.characters.at(place)
                self._enter_run(listing)
            if character in MARKS:
                self._end_paragraph(character, self._look(place))
            elif character == FIELD:
                self._fields.append(False)
            elif character == RESULT and self._fields:
                self._fields[-1] = True
            elif character == FIELD_END and self._fields:
                self._fields.pop()
            elif all(self._fields) and not self._unseen:
                self._line.append(character)

    def _enter_run(self, listing: bytes) -> None:
        unseen = bool(listing) and properties(listing).get(HIDDEN) == 1
        self.hidden += unseen and not self._unseen
        self._unseen = unseen

    def _look(self, place: int) -> Look:
        listing, _ = self._document.paragraphs.at(place)
        if len(listing) < 2:
            return Look()
        found = properties(listing[2:])
        return Look(
            style=int.from_bytes(listing[:2], "little"),
            in_table=found.get(IN_TABLE) == 1,
            row_end=found.get(ROW_END) == 1,
            list_level=found.get(LIST_LEVEL, 0) if 0 < found.get(LIST, 0) < NO_LIST else None,
            outline=found.get(OUTLINE, BODY_LEVEL),
        )

    def _end_paragraph(self, mark: str, look: Look) -> None:
        text = "".join(self._line).translate(SPECIAL).strip()
        self._line.clear()
        if not all(self._fields):  # an instruction that never ended must not swallow the rest
            self._fields.clear()
        if look.in_table or mark == CELL:
            self._add_to_row(text, mark, look)
            return
        self._close_table()
        level = self._document.levels.get(look.style, 0)
        if not level and look.outline < BODY_LEVEL:
            level = look.outline + 1
        if not text:
            return
        if level:
            self.blocks.append(Block("heading", " ".join(text.split()), level=level))
        elif look.list_level is not None:
            self.blocks.append(Block("list", f"{'  ' * min(look.list_level, 8)}- {text}"))
        else:
            self.blocks.append(Block("text", text))

    def _add_to_row(self, text: str, mark: str, look: Look) -> None:
        if look.row_end:
            self._rows.append(self._cells)
            self._cells = []
            return
        self._cell.append(text)
        if mark == CELL:
            self._cells.append(" ".join(filter(None, self._cell)))
            self._cell.clear()

    def _close_table(self) -> None:
        if self._cells:
            self._rows.append(self._cells)
        if block := table(self._rows):
            self.blocks.append(block)
        self._cells, self._rows = [], []
