"""Cuts blocks into chunks that fit the embedder, along headings. Pure: the tokenizer is an argument."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ingest.parsing.blocks import Block
from rag.types import Chunk

Spans = Callable[[str], Sequence[tuple[int, int]]]

HEADING_TOKENS = 48
SMALL_TOKENS = 40  # a section below this is not worth a chunk of its own
# A word longer than a tokenizer cares to read counts as one token, however long it is.
CHARACTERS_PER_TOKEN = 10
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")
SPACE = re.compile(r"\s+")


def chunk(blocks: Iterable[Block], spans: Spans, *, budget: int) -> list[Chunk]:
    """Chunks of at most `budget` tokens, the heading path counted in. Their ids are still to be given."""
    return Chunker(spans, budget).run(blocks)


@dataclass
class Piece:
    """What fits into one chunk and is not cut further."""

    text: str
    tokens: int
    page: int
    table: bool = False


@dataclass
class Chunker:
    """The chunk being filled and the headings above it."""

    spans: Spans
    budget: int
    chunks: list[Chunk] = field(default_factory=list)
    headings: dict[int, str] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    path: tuple[str, ...] = ()
    path_tokens: int = 0
    bare: Block | None = None  # a heading under which nothing has been said yet

    def run(self, blocks: Iterable[Block]) -> list[Chunk]:
        for block in blocks:
            if block.kind == "heading":
                self._enter(block)
            else:
                self._take(block)
        self._speak_bare_heading(0)
        self._flush()
        return self.chunks

    def _enter(self, heading: Block) -> None:
        self._speak_bare_heading(heading.level)
        for level in [level for level in self.headings if level >= heading.level]:
            del self.headings[level]
        text = " ".join(heading.text.split())
        self.headings[heading.level] = text
        self.bare = heading
        if self._size() >= SMALL_TOKENS:
            self._flush()
        elif self.pieces:
            self._add(text, heading.page)

    def _speak_bare_heading(self, next_level: int) -> None:
        """A heading without text below it is text itself; one with a deeper heading below is in the path."""
        bare, self.bare = self.bare, None
        if bare and (next_level == 0 or next_level <= bare.level) and not self._shown(bare.text):
            self._add(" ".join(bare.text.split()), bare.page)

    def _shown(self, text: str) -> bool:
        return any(" ".join(text.split()) in piece.text for piece in self.pieces)

    def _take(self, block: Block) -> None:
        self.bare = None
        if block.kind == "table" and self._size() >= SMALL_TOKENS:
            self._flush()
        self._open()
        for text in self._cut(block):
            self._add(text, block.page, table=block.kind == "table")
        if block.kind == "table" and self._size() >= SMALL_TOKENS:
            self._flush()

    def _open(self) -> None:
        """Fix the heading path of a chunk when its first piece comes."""
        if not self.pieces:
            path = tuple(self.headings[level] for level in sorted(self.headings))
            self.path, self.path_tokens = self._shortened(path)

    def _shortened(self, path: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """The path within its own small budget: outer headings go first."""
        limit = min(HEADING_TOKENS, self.budget // 3)
        while path:
            tokens = self._count(" > ".join(path))
            if self._fits(" > ".join(path), tokens, limit):
                return path, tokens
            if len(path) == 1:
                text = next(cut(path[0], self.spans, limit - 1))
                return (text,), self._count(text)
            path = path[1:]
        return (), 0

    def _room(self) -> int:
        return self.budget - self.path_tokens

    def _size(self) -> int:
        return sum(piece.tokens for piece in self.pieces)

    def _count(self, text: str) -> int:
        return len(self.spans(text))

    def _fits(self, text: str, tokens: int, limit: int) -> bool:
        return tokens <= limit and len(text) <= limit * CHARACTERS_PER_TOKEN

    def _cut(self, block: Block) -> Iterator[str]:
        """The block whole if it fits, else in pieces along its rows, lines or sentences."""
        room = self._room()
        if self._fits(block.text, self._count(block.text), room):
            yield block.text
        elif block.kind == "table" and len(block.rows) > 1:
            yield from self._rows(block.rows, room)
        elif block.kind in ("list", "code"):
            yield from self._lines(block.text.split("\n"), room)
        else:
            yield from cut(block.text, self.spans, room)

    def _rows(self, rows: Sequence[str], room: int) -> Iterator[str]:
        """Groups of rows, each under the header again, unless the header is too long to repeat."""
        header = rows[0] if self._count(rows[0]) <= room // 2 else ""
        top = self._count(header)
        for group in self._groups(rows[1:] if header else rows, room - top):
            yield f"{header}\n{group}" if header else group

    def _lines(self, lines: Sequence[str], room: int) -> Iterator[str]:
        yield from self._groups(lines, room)

    def _groups(self, lines: Sequence[str], room: int) -> Iterator[str]:
        group: list[str] = []
        size = length = 0
        for line in lines:
            tokens = self._count(line)
            parts = [line] if self._fits(line, tokens, room) else list(cut(line, self.spans, room))
            for part in parts:
                tokens = tokens if len(parts) == 1 else self._count(part)
                characters = length + len(part) + len(group)
                if group and (size + tokens > room or characters > room * CHARACTERS_PER_TOKEN):
                    yield "\n".join(group)
                    group, size, length = [], 0, 0
                group.append(part)
                size += tokens
                length += len(part)
        if group:
            yield "\n".join(group)

    def _add(self, text: str, page: int, *, table: bool = False) -> None:
        """Put a piece into the open chunk, or into the next one if it is full."""
        self._open()
        tokens = self._count(text)
        whole = "\n\n".join([*(piece.text for piece in self.pieces), text])
        if self.pieces and not self._fits(whole, self._size() + tokens, self._room()):
            self._flush()
            self._open()
        if not self._fits(text, tokens, self._room()):
            # The heading path grew, or cutting inside a word made more tokens of it.
            for part in cut(text, self.spans, max(1, self._room() - 1)):
                self._flush()
                self.pieces = [Piece(part, self._count(part), page, table)]
            return
        self.pieces.append(Piece(text, tokens, page, table))

    def _flush(self) -> None:
        if not self.pieces:
            return
        pieces, self.pieces = self.pieces, []
        for text in self._checked("\n\n".join(piece.text for piece in pieces)):
            self.chunks.append(
                Chunk(
                    id="",
                    ordinal=len(self.chunks),
                    text=text,
                    kind="table" if any(piece.table for piece in pieces) else "text",
                    heading_path=self.path,
                    pages=tuple(sorted({piece.page for piece in pieces if piece.page})),
                    tokens=self.path_tokens + self._count(text),
                )
            )

    def _checked(self, text: str) -> Iterator[str]:
        """The text, cut again in the rare case that joining its pieces made more tokens than their sum."""
        if self._fits(text, self._count(text), self._room()):
            yield text
        else:
            yield from cut(text, self.spans, self._room())


def cut(text: str, spans: Spans, room: int) -> Iterator[str]:
    """Pieces of at most `room` tokens: at sentence ends if there are, else at spaces, else inside words."""
    tokens = spans(text)
    starts = [start for start, _ in tokens]
    sentence_ends = [match.end() for match in SENTENCE_END.finditer(text)]
    spaces = [match.end() for match in SPACE.finditer(text)]
    start = 0
    while start < len(text):
        first = bisect_right(starts, start - 1)
        end = starts[first + room] if first + room < len(starts) else len(text)
        end = max(start + 1, min(end, start + room * CHARACTERS_PER_TOKEN))
        if end < len(text):
            end = (
                last_between(sentence_ends, start + (end - start) // 3, end)
                or last_between(spaces, start, end)
                or end
            )
        piece = text[start:end].strip()
        if piece:
            yield from fitting(piece, spans, room)
        start = end


def last_between(places: Sequence[int], low: int, high: int) -> int | None:
    """The largest place p with low < p <= high."""
    index = bisect_right(places, high) - 1
    return places[index] if index >= 0 and places[index] > low else None


def fitting(piece: str, spans: Spans, room: int) -> Iterator[str]:
    """The piece, halved while cutting inside a word made more tokens of it than the room has."""
    if len(piece) == 1 or len(spans(piece)) <= room:
        yield piece
        return
    middle = len(piece) // 2
    for half in (piece[:middle].strip(), piece[middle:].strip()):
        if half:
            yield from fitting(half, spans, room)
