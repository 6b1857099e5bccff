"""One ranking out of two legs: scores on one scale, weighted by what the question shows."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from rag.language import LAST_LATIN, LEAST_LETTERS, language
from rag.types import BM25

Hits = Sequence[tuple[str, float]]

# Measured on the developer set (tests/bench/retrieval.py), where a fixed 0.4 loses to BM25 alone on questions
# about tables. Of thirteen signals looked at, these two were chosen in each of four half-splits; the shape of
# a leg (peak, contrast, agreement) moved the mean by less than the noise.
LITERAL_SHIFT = 0.15
FOREIGN_SHIFT = 0.15
LEAST_WEIGHT = 0.05

LITERAL = re.compile(r"\d|[\"“”„«»`][^\"“”„«»`]+[\"“”„«»`]|\w_\w|\b[A-Za-z]+[-/.][A-Z]{2,}\b")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why the dense leg weighs what it weighs for one question."""

    weight: float
    literal: bool  # the question holds a number, an identifier or a quotation: what is written counts
    foreign: float  # share of letters in a script that the embedder was not trained for


@dataclass(frozen=True, slots=True)
class Fused:
    """A chunk with what each leg scored it (None: not found by that leg) and added to the fused score.

    `terms`: who weighed the terms of the sparse leg. With late interaction `late_share` is all of the score.
    """

    id: str
    dense: float | None
    sparse: float | None
    dense_share: float
    sparse_share: float
    terms: str = BM25
    late_share: float = 0.0

    @property
    def score(self) -> float:
        """In [0, 1]."""
        return self.dense_share + self.sparse_share + self.late_share


def weigh(question: str, base: float, languages: Collection[str] = ()) -> Evidence:
    """The weight of the dense leg: `base`, lowered where the question asks for what only BM25 sees.

    `languages`: those the embedder was trained for (ISO 639-1), empty: not stated, and taken for all.
    """
    literal = LITERAL.search(question) is not None
    foreign = 0.0
    letters = [letter for letter in question if letter.isalpha()]
    strange = "".join(letter for letter in letters if letter > LAST_LATIN)
    # A few letters tell a script, and language() wants a dozen.
    if languages and strange and language([strange] * LEAST_LETTERS) not in languages:
        foreign = len(strange) / len(letters)
    lowered = base - LITERAL_SHIFT * literal - FOREIGN_SHIFT * foreign
    return Evidence(max(min(LEAST_WEIGHT, base), lowered), literal, foreign)


def fuse(dense: Hits, sparse: Hits, *, weight: float, limit: int, terms: str = BM25) -> list[Fused]:
    """Both legs as one list, best first. `limit` is what each leg was asked for.

    Each leg is mapped to [0, 1] by its own best and worst. Where a leg is not full it holds all there is, and
    its worst may be nearly as good as its best: then 0 is the bottom, for BM25 no shared term, for a cosine
    nothing in common.
    """
    near, matching = Leg(dense, full=len(dense) >= limit), Leg(sparse, full=len(sparse) >= limit)
    # One leg alone decides when the other found nothing at all.
    weight = 1.0 if not sparse else 0.0 if not dense else weight
    fused = [
        Fused(
            key,
            near.scores.get(key),
            matching.scores.get(key),
            weight * near.scaled(key),
            (1 - weight) * matching.scaled(key),
            terms,
        )
        for key in {**near.scores, **matching.scores}
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.id))


def rescored(fused: Sequence[Fused], late: Hits) -> list[Fused]:
    """The same hits in the order of late interaction, its scores mapped to [0, 1] by their best and worst.

    They stand in place of those of the legs, which only chose what to look at; hits that have none go last.
    """
    scores = Leg(late, full=True)
    return [
        replace(hit, dense_share=0.0, sparse_share=0.0, late_share=scores.scaled(hit.id))
        for hit in sorted(fused, key=lambda hit: -scores.scores.get(hit.id, -math.inf))
    ]


def blend(first: Sequence[Fused], second: Sequence[Fused], *, share: float) -> list[Fused]:
    """Two rankings as one, best first: `share` of the first, the rest of the second."""
    blended: dict[str, Fused] = {}
    for part, hits in ((share, first), (1 - share, second)):
        for hit in hits:
            known = blended.get(hit.id)
            blended[hit.id] = replace(
                known or hit,
                dense_share=(known.dense_share if known else 0.0) + part * hit.dense_share,
                sparse_share=(known.sparse_share if known else 0.0) + part * hit.sparse_share,
                late_share=(known.late_share if known else 0.0) + part * hit.late_share,
            )
    return sorted(blended.values(), key=lambda hit: (-hit.score, hit.id))


class Leg:
    """One leg's scores with its scale."""

    def __init__(self, hits: Hits, *, full: bool) -> None:
        self.scores: Mapping[str, float] = dict(hits)
        self._best = max(self.scores.values(), default=0.0)
        worst = min(self.scores.values(), default=0.0)
        self._worst = worst if full else min(0.0, worst)

    def scaled(self, key: str) -> float:
        """0 for the leg's worst and for what it did not find, 1 for its best."""
        if key not in self.scores:
            return 0.0
        if self._best <= self._worst:
            return 1.0
        return (self.scores[key] - self._worst) / (self._best - self._worst)
