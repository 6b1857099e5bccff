"""What a small word reaches: negation, quantifiers, bounds, and which number belongs to what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.answering import facts
from rag.answering.vocabulary import FUNCTION_WORDS, MODIFIERS, STRONG
from rag.answering.words import stem

TOKEN = re.compile(r"\d+(?:[.,'’]\d+)*|[^\W_]+(?:['’]\w+)?|[,;:()–—]")
SPLIT = re.compile(
    r"[,;:()–—](?!\d)|\b(?:and|but|while|whereas|or|nor|than|und|aber|während|oder|sowie|als)\b",
    re.IGNORECASE,
)
RESPECTIVELY = re.compile(r"\b(?:respectively|jeweils|beziehungsweise|bzw)\b", re.IGNORECASE)
REACH = 3
QUALIFIERS = frozenset().union(*MODIFIERS)


def tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def negation_moved(claim: str, source: str) -> str:
    """A word that is denied in one and not in the other."""
    said_denied, said_plain = denied(claim)
    known_denied, known_plain = denied(source)
    moved = (said_denied & known_plain - known_denied) | (said_plain & known_denied - known_plain)
    # Whatever else stands in the part that is denied: its subject, say.
    moved |= around_negation(claim) & frozenset(stems(source)) - around_negation(source)
    return min(moved, default="")


def around_negation(text: str) -> frozenset[str]:
    """The stems of the parts of a sentence that deny something."""
    return frozenset(each for part in SPLIT.split(text) if facts.negated(part) for each in stems(part))


def denied(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The stems behind a negation in its part of the sentence, and all others."""
    inside: set[str] = set()
    outside: set[str] = set()
    for part in SPLIT.split(text):
        match = facts.NEGATIONS.search(part)
        cut = match.start() if match else len(part)
        outside.update(stems(part[:cut]))
        inside.update(stems(part[cut:]))
    return frozenset(inside), frozenset(outside)


def stems(text: str) -> Iterator[str]:
    return (stem(word) for word in tokens(text) if word[0].isalnum() and word.lower() not in FUNCTION_WORDS)


def modifier_changed(claim: str, source: str) -> str:
    """A quantifier, bound or modal that the source has before a word of the claim, and the claim has not.

    Of the strong ones ("all", "only") also one that the claim alone has.
    """
    said, known = tokens(claim), tokens(source)
    spoken = {stem(word) for word in said}
    for group in MODIFIERS:
        there = {reached for window in reached_by(said, group) for reached in window}
        for window in reached_by(known, group):
            if window and window[0] in spoken and window[0] not in there:
                return window[0]
    for group in STRONG:
        here = {word.lower() for word in known}
        if any(word.lower() in group for word in said) and not group & here:
            return next(word for word in said if word.lower() in group)
    return ""


def requalified(claim: str, source: str) -> str:
    """A quantifier, bound or modal that is all a claim leaves out, or a strong one it says more often."""
    said, known = (Counter(word.lower() for word in tokens(text)) for text in (claim, source))
    left, added = known - said, said - known
    if left and not added and all(word in QUALIFIERS for word in left):
        return next(iter(left))
    return next((word for word in added if any(word in group for group in STRONG)), "")


def reached_by(words: Sequence[str], group: frozenset[str]) -> list[list[str]]:
    """For each word of a group the stems of the telling words right behind it."""
    return [
        [
            stem(w)
            for w in words[n + 1 : n + 1 + REACH]
            if w[0].isalnum() and w.lower() not in FUNCTION_WORDS | group
        ]
        for n, word in enumerate(words)
        if word.lower() in group
    ]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a sentence between commas and conjunctions; `behind`: the stems behind its first number."""

    stems: frozenset[str]
    behind: frozenset[str]
    numbers: tuple[facts.Quantity, ...]


def parts(text: str) -> list[Part]:
    found = []
    for part in SPLIT.split(text):
        numbers = tuple(facts.quantities(part, with_dates=True))
        found.append(Part(frozenset(stems(part)), frozenset(stems(behind(part))), numbers))
    return found


def behind(part: str) -> str:
    """What follows the first number of a part."""
    first = re.search(r"\d[\d.,]*", part)
    return part[first.end() :] if first else part


def misbound(claim: str, source: str) -> str:
    """A number of the claim that the source says of something else."""
    lower = claim.lower()
    said = sorted(facts.quantities(claim, with_dates=True), key=lambda each: lower.find(each.written.lower()))
    pieces = parts(source)
    told = {value for each in said for value in each.values}
    if said and RESPECTIVELY.search(source):
        known = {value for piece in pieces for each in piece.numbers for value in each.values}
        return "" if known <= told else said[0].written
    wanted = set(stems(claim))
    homes: list[int] = []
    for number in said:
        home = [
            n for n, piece in enumerate(pieces) if any(each.values & number.values for each in piece.numbers)
        ]
        if len(home) != 1:
            continue
        if homes and home[0] < homes[-1]:
            return number.written  # numbers of two parts have changed places
        homes += home
        for n, piece in enumerate(pieces):
            rival = any(same_kind(each, number) and not each.values & told for each in piece.numbers)
            elsewhere = frozenset().union(*(other.stems for m, other in enumerate(pieces) if m != n))
            # What precedes the first number, a subject say, may hold for the later ones too.
            tied = piece.behind if n < home[0] else piece.stems
            if n != home[0] and rival and (tied & wanted) - elsewhere:
                return number.written
    return ""


def same_kind(one: facts.Quantity, other: facts.Quantity) -> bool:
    return one.unit == other.unit or not one.unit or not other.unit


def wrong_column(claim: str, row: str, header: str) -> str:
    """A number of the claim that stands in the row of a table under another column than the claim says."""
    names, cells = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in (header, row))
    if len(names) == len(cells) - 1:
        names = ["", *names]  # the first row of a chunk lost its blank corner
    if len(names) != len(cells) or len(cells) < 3:
        return ""
    heads = [frozenset(stems(name)) for name in names]
    wanted = set(stems(claim))
    for number in facts.quantities(claim, with_dates=True):
        at = [
            n
            for n, cell in enumerate(cells)
            if any(each.values & number.values for each in facts.quantities(cell, with_dates=True))
        ]
        for n, head in enumerate(heads):
            own = frozenset().union(*(heads[m] for m in at)) if at else frozenset()
            if at and n not in at and n and (head - own) & wanted:
                return number.written
    return ""
