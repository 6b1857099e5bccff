"""Which of two documents is the newer edition of the same thing, by what their titles say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from rag.editions import Order, family
from rag.types import Passage

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
WORD = re.compile(r"[^\W\d_]+")
# Of the words of two passages, so many must be shared for them to be the same rule.
SAME_RULE_FROM = 0.6


@dataclass(frozen=True, slots=True)
class Conflict:
    """The same rule in two editions, with other numbers: what only the newer and what only the older says."""

    newer: Passage
    older: Passage
    now: tuple[str, ...]
    before: tuple[str, ...]

    @property
    def told(self) -> str:
        """What a reader should know."""
        newer, older = self.newer.title, self.older.title
        # Of many numbers nobody can tell from here which one is meant.
        if len(self.now) != 1 or len(self.before) != 1:
            return f"two editions differ in numbers: “{newer}” and the older “{older}”"
        return f"two editions differ: “{newer}” says {self.now[0]}, the older “{older}” says {self.before[0]}"


def outdated(passages: Sequence[Passage], question: str) -> frozenset[str]:
    """Ids of documents that have a newer edition among the passages: "Travel policy 2024" beside "... 2026".

    A question that names a number of such a title asks for that edition, and nothing is outdated then.
    """
    asked = set(NUMBER.findall(question))
    editions: dict[str, dict[str, Order]] = {}
    for passage in passages:
        name, order = family(passage.title)
        if name and (order.version or order.date) and asked.isdisjoint(NUMBER.findall(passage.title)):
            editions.setdefault(name, {})[passage.document_id] = order
    return frozenset(
        document
        for numbered in editions.values()
        for document, order in numbered.items()
        if order < max(numbered.values())
    )


def conflicts(passages: Sequence[Passage]) -> list[Conflict]:
    """Passages of two editions of one thing that read alike and differ in a number, to be shown beside both.

    Numbers of the titles are left out: every edition names its own year.
    """
    found = []
    for left, right in combinations(passages, 2):
        (left_name, left_order), (right_name, right_order) = family(left.title), family(right.title)
        if not left_name or left_name != right_name or left_order == right_order:
            continue
        newer, older = (left, right) if left_order > right_order else (right, left)
        now, before = numbers(newer), numbers(older)
        if now != before and now and before and same_rule(newer.chunk.text, older.chunk.text):
            found.append(Conflict(newer, older, tuple(sorted(now - before)), tuple(sorted(before - now))))
    return found


def numbers(passage: Passage) -> set[str]:
    """The numbers of a passage that its title does not hold."""
    return set(NUMBER.findall(passage.chunk.text)) - set(NUMBER.findall(passage.title))


def same_rule(left: str, right: str) -> bool:
    """Whether two texts share most of their words, numbers left out (Jaccard)."""
    ours, theirs = (set(WORD.findall(text.casefold())) for text in (left, right))
    return len(ours & theirs) >= SAME_RULE_FROM * max(1, len(ours | theirs))
