"""Cuts a chunk into sentences, table rows and list items, each an exact span of its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.answering.vocabulary import ABBREVIATIONS, MONTHS

TERMINATOR = re.compile(r"[.!?…]+[\"'”’»)\]]*(?:\[\d+\])*(?=\s|$)|[。！？।؟]+[」』”’）]*")
BLOCK_END = re.compile(r"\n\s*\n|\n(?=[ \t]*(?:[-*•‣◦–]|\d{1,3}[.)]|[a-z]\)|#{1,6}|\|)\s)")
ROW = re.compile(r"^(?:[^\n|]*\|){2}[^\n]*$|^\s*\|[^\n]*$|^[^\n]*[^\s|][^\n|]*(?:\||\t)[^\n|]*\S[^\n]*$")
RULE = re.compile(r"^[\s|:+=-]*$")
LETTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """text[start:end] of a chunk. `context` is the header row that a table row is read with."""

    start: int
    end: int
    text: str
    context: str = ""

    @property
    def reading(self) -> str:
        """The words to compare: a row makes sense only under its header."""
        return f"{self.context}\n{self.text}" if self.context else self.text


def sentences(text: str) -> list[Sentence]:
    """Every sentence of a chunk in order; `text[s.start:s.end] == s.text` holds for each."""
    found: list[Sentence] = []
    for start, end in blocks(text):
        found += rows(text, start, end) if is_table(text[start:end]) else prose(text, start, end)
    return found


def blocks(text: str) -> Iterator[tuple[int, int]]:
    """Paragraphs, list items and tables. A single line break inside a paragraph is only a wrapped line."""
    start = 0
    previous_row = False
    for match in BLOCK_END.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        following = text[match.end() :].split("\n", 1)[0]
        previous_row = "\n" not in match.group()[1:] and is_row(line) and is_row(following)
        if previous_row:
            continue
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def in_one_paragraph(text: str, first: Sentence, second: Sentence) -> bool:
    """Whether two sentences of a text stand beside each other, with no new item, row or paragraph between."""
    gap = BLOCK_END.search(text, first.end)
    return (
        not text[first.end : second.start].strip()
        and (gap is None or gap.start() >= second.start)
        and not (is_row(first.text) or is_row(second.text))
    )


def is_row(line: str) -> bool:
    """Whether a line is one row of a table: cells between bars or tabs."""
    return bool(ROW.match(line))


def is_table(block: str) -> bool:
    """Whether most lines of a block, and more than one, are rows."""
    lines = [line for line in block.splitlines() if line.strip()]
    return len(lines) > 1 and sum(is_row(line) for line in lines) * 2 > len(lines)


def rows(text: str, start: int, end: int) -> Iterator[Sentence]:
    """The rows of a table, each with the first row as context."""
    header = ""
    for match in re.finditer(r"[^\n]+", text[start:end]):
        line = match.group()
        if RULE.match(line):
            continue
        if sentence := trimmed(text, start + match.start(), start + match.end(), header):
            yield sentence
        if is_row(line) and not header:
            header = line.strip()


def prose(text: str, start: int, end: int) -> Iterator[Sentence]:
    """The sentences of a paragraph."""
    begin = start
    for match in TERMINATOR.finditer(text, start, end):
        if ends_here(text, begin, match, end):
            if sentence := trimmed(text, begin, match.end()):
                yield sentence
            begin = match.end()
    if sentence := trimmed(text, begin, end):
        yield sentence


def ends_here(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    """Whether a full stop ends a sentence rather than an abbreviation, an initial or an ordinal."""
    following = text[match.end() : end].lstrip("\n\t \"'“‘«([")
    if match.group()[0] != ".":
        return not following[:1].islower()
    if following[:1].islower():
        return False
    words = text[begin : match.start()].split()
    last = words[-1].lstrip("(\"'“‘[") if words else ""
    if len(last) == 1 and last.isalpha() and last != "I":
        return False  # an initial: J. Smith
    if last.lower() in ABBREVIATIONS:
        return False
    if re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]", last):
        return not following[:1].isalnum() or len(following) == 0  # U.S. Army
    # "1. Wash hands", "am 3. Oktober": a short number alone at the start, or before a word, counts something.
    return not (re.fullmatch(r"\d{1,2}", last) and (len(words) == 1 or is_month(following)))


def is_month(following: str) -> bool:
    word = re.match(r"[^\W\d_]+", following)
    return word is not None and word.group().lower() in MONTHS


def trimmed(text: str, start: int, end: int, context: str = "") -> Sentence | None:
    """The span without blank ends; None when it holds no letter or digit."""
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end = start + len(piece.strip())
    return Sentence(start, end, text[start:end], context) if LETTER.search(text, start, end) else None
