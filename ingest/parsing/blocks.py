"""What a parser makes of a document: blocks in reading order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from ingest.parsing.hidden import HIDDEN, LINE_ENDS, clean
from rag.types import Box

# Spaces and hyphens at which no line may break: to a reader, and to a search, they are spaces and hyphens.
TYPESETTING = (("\u00a0", " "), ("\u202f", " "), ("\u2011", "-"))
SPECIAL = re.compile(f"{HIDDEN.pattern}|{LINE_ENDS.pattern}|[\u00a0\u202f\u2011]")
ASCII_SPECIAL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")  # the same where it can be found fast

BlockKind = Literal["heading", "text", "list", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that belongs together. `level`: of a heading; `rows`: of a table.

    `boxes`: one per page it stands on. `confidence` in [0, 1]: of recognised text, else None.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int = 0
    rows: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A document inside a document: an attachment, a mail of a mailbox, a member of an archive."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A whole document. `warnings` say what was left out; they never hold text of the document.

    `language`: ISO 639-1, empty if not known. A container may have `parts` and no block of its own.
    """

    blocks: tuple[Block, ...]
    title: str = ""
    pages: int = 0
    warnings: tuple[str, ...] = ()
    language: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def characters(self) -> int:
        return sum(len(block.text) for block in self.blocks)


def table(rows: list[list[str]], *, page: int = 0) -> Block | None:
    """A table block; rows are written as `a | b | c`. None when all cells are empty."""
    lines = []
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if any(cells):
            lines.append(" | ".join(cells))
    return Block("table", "\n".join(lines), page=page, rows=tuple(lines)) if lines else None


def merged_lists(blocks: Iterable[Block]) -> list[Block]:
    """List blocks that follow each other on a page become one."""
    merged: list[Block] = []
    for (is_list, _), group in groupby(blocks, key=lambda block: (block.kind == "list", block.page)):
        run = list(group)
        if is_list:
            run = [replace(run[0], text="\n".join(block.text for block in run))]
        merged += run
    return merged


def cleaned(document: ParsedDocument) -> ParsedDocument:
    """The document without hidden characters and empty blocks; what was hidden is counted in a warning."""
    hidden = 0
    blocks = []
    for block in document.blocks:
        special = ASCII_SPECIAL if block.text.isascii() else SPECIAL
        if block.text and not special.search(block.text) and block.text == block.text.strip():
            blocks.append(block)  # nearly all are like this
            continue
        hidden += len(HIDDEN.findall(block.text))
        text = plain(block.text)
        if block.kind == "code":  # its first line may be set in
            text = HIDDEN.sub("", LINE_ENDS.sub("\n", block.text)).strip("\n").rstrip()
        if text:
            rows = tuple(filter(None, map(plain, block.rows)))
            blocks.append(replace(block, text=text, rows=rows))
    warnings = document.warnings + ((f"{hidden} hidden characters removed",) if hidden else ())
    title = " ".join(clean(document.title).split())[:300]
    return replace(document, blocks=tuple(blocks), title=title, warnings=warnings)


def plain(text: str) -> str:
    """Clean text with ordinary spaces and hyphens."""
    for special, ordinary in TYPESETTING:
        text = text.replace(special, ordinary)
    return clean(text)
