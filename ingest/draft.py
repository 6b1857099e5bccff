"""The chunk that is being filled: its pieces and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ingest.cutting import fits
from ingest.parsing.blocks import BlockKind
from ingest.places import union
from rag.types import Box, Chunk, ChunkKind

JOINT = 2  # characters between two pieces


@dataclass(frozen=True, slots=True)
class Piece:
    """What goes into one chunk and is not cut further."""

    text: str
    tokens: int
    kind: BlockKind
    section: int
    pages: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()
    confidence: float | None = None


@dataclass
class Draft:
    """Pieces under one heading path, of which the path takes `path_tokens`."""

    budget: int
    path: tuple[str, ...] = ()
    path_tokens: int = 0
    pieces: list[Piece] = field(default_factory=list)
    tokens: int = 0
    characters: int = 0

    @property
    def left(self) -> int:
        """Tokens that still fit."""
        return self.budget - self.path_tokens - self.tokens

    @property
    def last(self) -> BlockKind | None:
        """What the last piece is; None without one."""
        return self.pieces[-1].kind if self.pieces else None

    def fits(self, tokens: int, characters: int) -> bool:
        """Whether there is room for a text of so many tokens and characters."""
        return fits(self.tokens + tokens, self.characters + characters, self.budget - self.path_tokens)

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.tokens += piece.tokens
        self.characters += len(piece.text) + JOINT

    def pop(self) -> Piece:
        """Take the last piece out again."""
        piece = self.pieces.pop()
        self.tokens -= piece.tokens
        self.characters -= len(piece.text) + JOINT
        return piece

    def chunk(self, language: str) -> Chunk:
        """All pieces and the path as a chunk, still without id and ordinal."""
        text, starts = joined(self.pieces)
        sure = [piece.confidence for piece in self.pieces if piece.confidence is not None]
        return Chunk(
            id="",
            ordinal=0,
            text=text,
            kind=main_kind(self.pieces),
            heading_path=self.path,
            pages=tuple(sorted({page for piece in self.pieces for page in piece.pages})),
            tokens=self.path_tokens + self.tokens,
            boxes=union(
                replace(box, start=start + box.start)
                for start, piece in zip(starts, self.pieces, strict=True)
                for box in piece.boxes
            ),
            language=language,
            confidence=min(sure) if sure else None,
            section=self.pieces[0].section,
        )


def joined(pieces: Sequence[Piece]) -> tuple[str, list[int]]:
    """Paragraphs apart, items of one list below each other; and where each piece starts."""
    text, starts = pieces[0].text, [0]
    for above, piece in zip(pieces, pieces[1:], strict=False):
        text += "\n" if above.kind == piece.kind == "list" else "\n\n"
        starts.append(len(text))
        text += piece.text
    return text, starts


def main_kind(pieces: Sequence[Piece]) -> ChunkKind:
    """A table makes a chunk a table; else what most of it is."""
    tokens: Counter[ChunkKind] = Counter()
    for piece in pieces:
        if piece.kind == "table":
            return "table"
        tokens["text" if piece.kind == "heading" else piece.kind] += piece.tokens
    return tokens.most_common(1)[0][0]
