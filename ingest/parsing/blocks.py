"""What a parser makes of a document: blocks in reading order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ingest.parsing.hidden import clean, is_hidden

BlockKind = Literal["heading", "text", "list", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that belongs together. `level`: of a heading; `rows`: of a table."""

    kind: BlockKind
    text: str
    level: int = 0
    page: int = 0
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A whole document. `warnings` say what was left out; they never hold text of the document."""

    blocks: tuple[Block, ...]
    title: str = ""
    pages: int = 0
    warnings: tuple[str, ...] = ()

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


def cleaned(document: ParsedDocument) -> ParsedDocument:
    """The document without hidden characters and empty blocks; what was hidden is counted in a warning."""
    hidden = sum(1 for block in document.blocks for character in block.text if is_hidden(character))
    blocks = []
    for block in document.blocks:
        text = clean(block.text)
        if text:
            rows = tuple(filter(None, (clean(row) for row in block.rows)))
            blocks.append(replace(block, text=text, rows=rows))
    warnings = document.warnings + ((f"{hidden} hidden characters removed",) if hidden else ())
    title = " ".join(clean(document.title).split())[:300]
    return replace(document, blocks=tuple(blocks), title=title, warnings=warnings)
