"""An answer in two steps: one sentence names what a question describes, another says of it what is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.answering.sentences import Sentence
from rag.answering.vocabulary import MONTHS
from rag.answering.words import content, proper
from rag.types import Passage

# "the allowance in the city where the offsite takes place": what is asked, of what, and what tells which.
DESCRIBED = re.compile(
    r"^(?P<asked>.+?)\bthe (?P<kind>\w+)(?: (?:has|have|open))? "
    r"(?:(?:(?:in|at|for|from|to) )?which|where|that|who|with) (?P<clause>.+)$|"
    r"^(?P<asked2>.+?) whose (?P<kind2>\w+) (?P<clause2>.+)$",
    re.IGNORECASE,
)
NAME = re.compile(r"\b(?:[A-ZÀ-Þ][\w'’&-]*|[A-Z]*\d[\w-]*)(?: (?:[A-ZÀ-Þ][\w'’&-]*|\d[\w-]*))*")
MOST_CHARACTERS = 300
SPARE = 1  # words of the description that a row of a table may lack: "runs", "got"
# What a question asks for by them stands in other words.
PLAIN = frozenset("name names long high large big old far often tall kind type".split())  # noqa: SIM905
ENDING = re.compile(r"(?<=\w\w\w)(?:ed|es|[sed])$")
MONTH_NAMES = frozenset(MONTHS)
CELL = re.compile(r"\s*\|\s*")


@dataclass(frozen=True, slots=True)
class Step:
    """A sentence or row with the passage that it stands in, and the roots of its words and its headings."""

    passage: Passage
    sentence: Sentence
    words: frozenset[str]

    @classmethod
    def of(cls, passage: Passage, sentence: Sentence) -> Step:
        heading = " ".join((passage.title, *passage.chunk.heading_path))
        return cls(passage, sentence, roots(f"{heading}\n{sentence.reading}"))

    @property
    def is_row(self) -> bool:
        return bool(self.sentence.context)


@dataclass(frozen=True, slots=True)
class Bridges:
    """The pairs of sentences that answer in two steps, what is asked first.

    `broken`: a sentence names the thing, what is asked of it is told of others only.
    """

    pairs: tuple[tuple[Step, Step], ...] = ()
    broken: bool = False


def is_described(question: str) -> bool:
    """Whether a question asks about something that it only describes; for the others nothing is searched."""
    return len(question) <= MOST_CHARACTERS and DESCRIBED.match(question) is not None


def bridges(question: str, steps: Sequence[Step]) -> Bridges:
    """The pairs for a question that is_described(); none where one sentence has all its words."""
    match = DESCRIBED.match(question.strip().rstrip("?. "))
    if not match:
        return Bridges()
    asked, kind, clause = (match[name] or match[f"{name}2"] for name in ("asked", "kind", "clause"))
    wanted, known = roots(asked) - PLAIN, roots(question)
    if not wanted or any(known - PLAIN <= each.words for each in steps):
        return Bridges()
    starts = [each for each in steps if tells(each, clause)]
    pairs = {
        (last.sentence.text, first.sentence.text): (last, first)
        for first in starts
        for name in names(first, kind, known)
        for last in steps
        if last.sentence != first.sentence and wanted <= last.words and is_about(last, name, kind)
    }
    elsewhere = any(wanted <= each.words for each in steps)
    broken = bool(starts) and elsewhere and not pairs and not any(wanted & each.words for each in starts)
    return Bridges(tuple(pairs.values()), broken)


def tells(step: Step, clause: str) -> bool:
    """Whether a sentence says all of a description; a row may lack the verb, but no name."""
    missing = roots(clause) - step.words
    named = {ENDING.sub("", each) for each in proper(f"- {clause}")}
    return not missing or (step.is_row and len(missing) <= SPARE and bool(named) and not missing & named)


def roots(text: str) -> frozenset[str]:
    """The stems of a text without the endings of verbs: granted and grants."""
    return frozenset(ENDING.sub("", each) for each in content(text))


def names(step: Step, kind: str, known: frozenset[str]) -> Iterator[str]:
    """The names in a sentence that the question has not; of a row the cell under the kind asked for."""
    if step.is_row:
        yield from (cell for cell in cells_under(step, kind) if roots(cell))
        return
    for match in NAME.finditer(step.sentence.text):
        words, own = match.group().lower().split(), roots(match.group())
        # "The" at the start is no name, "12 September" none of a place.
        if own and not known & own and MONTH_NAMES.isdisjoint(words) and not match.group().isdigit():
            yield match.group()


def is_about(step: Step, name: str, kind: str) -> bool:
    """Whether a sentence is about a name: the row's cell of that kind, or the words of the sentence."""
    if not step.is_row:
        return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", step.sentence.text) is not None
    return name in (cells_under(step, kind) or CELL.split(step.sentence.text.strip(" |")))


def cells_under(step: Step, kind: str) -> list[str]:
    """The cells of a row under a head that has the word for a kind."""
    heads, cells = (CELL.split(text.strip(" |")) for text in (step.sentence.context, step.sentence.text))
    if len(heads) != len(cells):
        return []
    return [cell for head, cell in zip(heads, cells, strict=True) if roots(kind) <= roots(head)]
