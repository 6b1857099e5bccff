"""Cuts blocks into chunks that fit the embedder, along headings. Pure: the tokenizer is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from ingest.cutting import cut, fits, halved, last_sentence
from ingest.draft import Draft, Piece
from ingest.parsing.blocks import Block, BlockKind
from ingest.places import places
from ingest.ruler import Ruler, Spans
from ingest.tables import table_parts
from rag.types import Chunk

HEADING_TOKENS = 48
SMALL_TOKENS = 40  # a section below this is not worth a chunk of its own
LEAD_TOKENS = 48  # a longer text before a list or table is no lead-in or caption
COLONS = (":", "：")


def chunk(blocks: Iterable[Block], spans: Spans, *, budget: int, language: str = "") -> list[Chunk]:
    """Chunks of at most `budget` tokens, the heading path counted in. Their ids are still to be given.

    `spans` is the embedder's tokenizer; `language` that of the document, ISO 639-1.
    """
    return Chunker(Ruler(spans), budget, language).run(blocks)


@dataclass
class Chunker:
    """The chunk being filled and the headings above it."""

    ruler: Ruler
    budget: int
    language: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    headings: dict[int, str] = field(default_factory=dict)
    section: int = 0
    draft: Draft = field(init=False)
    bare: Block | None = None  # a heading under which nothing has been said yet

    def __post_init__(self) -> None:
        self.draft = Draft(self.budget)

    def run(self, blocks: Iterable[Block]) -> list[Chunk]:
        """The chunks of a whole document."""
        written = (block for block in blocks if block.text.strip())
        for kind, run in groupby(written, key=lambda block: block.kind):
            if kind == "heading":
                for heading in run:
                    self._enter(heading)
            elif kind == "list":  # a list may come item by item
                self._take(list(run))
            else:
                for block in run:
                    self._take([block])
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
        self.section += 1
        if self.draft.tokens >= SMALL_TOKENS:
            self._flush()
        elif self.draft.pieces:
            self._fill(replace(heading, text=text))

    def _speak_bare_heading(self, next_level: int) -> None:
        """A heading without text below it is text itself; one with a deeper heading below is in the path."""
        bare, self.bare = self.bare, None
        if bare and (next_level == 0 or next_level <= bare.level):
            text = " ".join(bare.text.split())
            if not any(text in piece.text for piece in self.draft.pieces):
                self._fill(replace(bare, text=text, kind="text"))

    def _take(self, run: Sequence[Block]) -> None:
        """Add one block, or a list that comes as several."""
        self.bare = None
        kind = run[0].kind
        whole = self.draft.fits(
            sum(self.ruler.count(block.text) for block in run), sum(len(block.text) + 1 for block in run)
        )
        small = self.draft.tokens < SMALL_TOKENS
        # Too little text for a chunk of its own takes the first part of a paragraph along.
        if (not whole and not (small and kind == "text")) or (kind == "table" and not small):
            self._make_way(kind)
        for block in run:
            self._fill(block)
        if kind == "table" and self.draft.tokens >= SMALL_TOKENS:
            self._flush()

    def _make_way(self, kind: BlockKind) -> None:
        """Close the open chunk, but keep what introduces the coming block: its caption or lead-in."""
        while self.draft.last == "heading":
            self.draft.pop()  # the path of the next chunk holds it
        lead = self._split_off_lead(kind) if self.draft.last == "text" and kind != "text" else None
        self._flush()
        if lead:
            self._open()
            self.draft.add(lead)

    def _split_off_lead(self, kind: BlockKind) -> Piece | None:
        """Take the caption of a table, or the sentence before a colon, out of the open chunk."""
        last = self.draft.pieces[-1]
        if kind == "table" and "\n" not in last.text and last.tokens <= LEAD_TOKENS:
            return self.draft.pop()
        if not last.text.endswith(COLONS):
            return None
        start = last_sentence(last.text)
        text, rest = last.text[start:].strip(), last.text[:start].strip()
        tokens = self.ruler.count(text)
        if tokens > LEAD_TOKENS:
            return None
        self.draft.pop()
        if rest:
            self.draft.add(replace(last, text=rest, tokens=self.ruler.count(rest)))
        return replace(last, text=text, tokens=tokens)

    def _fill(self, block: Block) -> None:
        """Put a block into the open chunk, or as much of it as fits there and the rest into the next ones."""
        self._open()
        done = 0
        parts = [block.text] if self._fits(block.text) else list(self._parts(block))
        total = max(1, sum(map(len, parts)))
        for text in parts:
            pages, boxes = places(block, done / total, (done + len(text)) / total, len(text))
            done += len(text)
            if not self._fits(text):
                self._flush()
                self._open()
            tokens = self.ruler.count(text)
            self.draft.add(Piece(text, tokens, block.kind, self.section, pages, boxes, block.confidence))

    def _parts(self, block: Block) -> Iterator[str]:
        """Pieces of a block: the first has room in the open chunk, the others in chunks of their own."""
        room, left = self.budget - self._heading_path()[1], self.draft.left
        goes_on = block.kind == "list" and self.draft.last == "list"
        if (goes_on or block.kind in ("code", "heading")) and fits(
            self.ruler.count(block.text), len(block.text), room
        ):
            yield block.text
        elif block.kind == "table" and len(block.rows) > 1:
            yield from table_parts(block.rows, self.ruler, room, first=left)
        else:
            first = left if 2 * left >= room else room
            yield from cut(block.text, self.ruler, room, first=first, kind=block.kind)

    def _fits(self, text: str) -> bool:
        return self.draft.fits(self.ruler.count(text), len(text))

    def _open(self) -> None:
        """Fix the heading path of a chunk when its first piece comes."""
        if not self.draft.pieces:
            self.draft = Draft(self.budget, *self._heading_path())

    def _heading_path(self) -> tuple[tuple[str, ...], int]:
        """The path to what comes next, and its tokens."""
        path = self._shortened(tuple(self.headings[level] for level in sorted(self.headings)))
        return path, self.ruler.measure(" > ".join(path)) if path else 0

    def _shortened(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The path within its own small budget: outer headings go first."""
        limit = min(HEADING_TOKENS, self.budget // 3)
        while path:
            text = " > ".join(path)
            if fits(self.ruler.measure(text), len(text), limit):
                return path
            if len(path) == 1:
                first = next(cut(text, self.ruler, limit - 1))
                return (next(halved(first, self.ruler.measure, limit)),)
            path = path[1:]
        return ()

    def _flush(self) -> None:
        draft, self.draft = self.draft, Draft(self.budget)
        if not draft.pieces:
            return
        whole = draft.chunk(self.language)
        # Without an exact ruler its tokens are an estimate: the text is measured, and cut if that was low.
        texts = halved(whole.text, self.ruler.measure, self.budget - draft.path_tokens)
        for text in [whole.text] if self.ruler.exact else texts:
            tokens = whole.tokens if self.ruler.exact else draft.path_tokens + self.ruler.measure(text)
            self.chunks.append(replace(whole, ordinal=len(self.chunks), text=text, tokens=tokens))
