"""What the documents of the best hits add to their fused scores: period, edition, names, titles, links.

Every signal adds its share to the score, and the passage carries the shares. Shares were set on the developer
set by hand, guided by a listwise fit on each half (tests/bench/retrieval.py prints both halves).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rag.language import LETTERS
from rag.retrieval.fusion import Fused
from rag.retrieval.scope import Period, Scope, edition
from rag.store.catalog import StoredChunk
from rag.types import BM25

SHARES = {"period": 0.1, "latest": 0.2, "names": 0.15, "title": 0.05, "link": 0.1}
LATE = "late interaction"
LINKING_HITS = 3
LINK_CHARACTERS = range(4, 61)

WORDS = re.compile(LETTERS)
BRACKETS = re.compile(r"\s*\([^)]*\)")
FOLD = 6  # letters that count of a word, so that inflected forms meet
FUNCTION_WORDS = frozenset(WORDS.findall("the and for from with der die das und von les des del"))


@dataclass(slots=True)
class Candidate:
    """A hit with its chunk, and what each signal gave it; `score` is their sum."""

    hit: Fused
    stored: StoredChunk
    signals: dict[str, float]

    @property
    def score(self) -> float:
        return sum(self.signals.values())

    @property
    def title(self) -> str:
        return self.stored.document.title

    @property
    def text(self) -> str:
        return self.stored.chunk.text


def rank(question: str, scope: Scope, found: Sequence[tuple[Fused, StoredChunk]]) -> list[Candidate]:
    """The candidates, best first."""
    candidates = [Candidate(hit, stored, signals_of(hit)) for hit, stored in found]
    reward_scope(scope, candidates)
    reward_titles(question, candidates)
    candidates.sort(key=lambda candidate: -candidate.score)
    reward_links(candidates)
    return sorted(candidates, key=lambda candidate: -candidate.score)


def signals_of(hit: Fused) -> dict[str, float]:
    """The parts of a fused score, before anything else counts."""
    sparse = BM25 if hit.terms == BM25 else "sparse"
    legs = {"dense": hit.dense_share, sparse: hit.sparse_share}
    return legs | {LATE: hit.late_share} if hit.late_share else legs


def reward_scope(scope: Scope, candidates: Sequence[Candidate]) -> None:
    """Documents of the period that was asked for, the newest of a series, and those that hold the names."""
    if scope.period:
        for candidate in candidates:
            add(candidate, "period", Period.of(candidate.title).agreement(scope.period))
    if scope.latest:
        reward_newest(candidates)
    if scope.names:
        reward_named(scope.names, candidates)


def reward_newest(candidates: Sequence[Candidate]) -> None:
    """+1 for passages of the newest document of a series, -1 for those of the others."""
    series = defaultdict(list)
    for candidate in candidates:
        stem, order = edition(candidate.title)
        if order[0].date or order[0].version:
            series[stem].append((order, candidate))
    for members in series.values():
        newest = max(order for order, _ in members)
        if min(order for order, _ in members) < newest:
            for order, candidate in members:
                add(candidate, "latest", 1 if order == newest else -1)


def reward_named(names: frozenset[str], candidates: Sequence[Candidate]) -> None:
    """The share of the names in the passages of a document, for documents whose title is dated.

    Reports of several companies for one quarter read alike, and a page of one need not name its company.
    Elsewhere the words of the passage itself have been counted already.
    """
    held: dict[str, list[float]] = defaultdict(list)
    dated = [candidate for candidate in candidates if Period.of(candidate.title).years]
    for candidate in dated:
        words = {word.casefold() for word in WORDS.findall(f"{candidate.title} {candidate.text}")}
        held[candidate.stored.document.id].append(len(names & words) / len(names))
    for candidate in dated:
        shares = held[candidate.stored.document.id]
        add(candidate, "names", sum(shares) / len(shares))


def reward_titles(question: str, candidates: Sequence[Candidate]) -> None:
    """The share of a title's words that the question holds."""
    asked = folded(question)
    for candidate in candidates:
        if words := folded(candidate.title):
            add(candidate, "title", len(words & asked) / len(words))


def reward_links(ranked: Sequence[Candidate]) -> None:
    """Documents whose title one of the best hits mentions: the second step of a question with two."""
    for best in list(ranked[:LINKING_HITS]):
        score = best.score - best.signals.get("link", 0.0)
        for candidate in ranked:
            if candidate.title != best.title and mentions(best.text, candidate.title):
                candidate.signals["link"] = max(
                    candidate.signals.get("link", 0.0), SHARES["link"] * max(0.0, score)
                )


def mentions(text: str, title: str) -> bool:
    """Whether a text holds a title to the letter, what is in brackets left out; a title has a capital."""
    name = BRACKETS.sub("", title).strip()
    if len(name) not in LINK_CHARACTERS or name not in text or name.islower():
        return False
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def add(candidate: Candidate, signal: str, value: float) -> None:
    if value:
        candidate.signals[signal] = SHARES[signal] * value


def folded(text: str) -> set[str]:
    """The words of a text that can be compared, each cut to its beginning."""
    words = {word.casefold() for word in WORDS.findall(text) if len(word) > 2}
    return {word[:FOLD] for word in words - FUNCTION_WORDS}
