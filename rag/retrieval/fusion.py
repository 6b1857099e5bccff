"""One ranking out of two legs: scores on one scale, weighted by what the question shows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Hits = Sequence[tuple[str, float]]

# Measured on the developer set (tests/bench/retrieval.py), where a fixed 0.4 loses to BM25 alone on questions
# about tables (nDCG@10 .687 against .716). Of thirteen signals looked at, these two were chosen in each of
# four half-splits; the shape of a leg (peak, contrast, agreement) moved the mean by less than the noise.
LITERAL_SHIFT = 0.25
FOREIGN_SHIFT = 0.1
LEAST_WEIGHT = 0.05

LITERAL = re.compile(r"\d|[\"“”„«»`][^\"“”„«»`]+[\"“”„«»`]|\w_\w|\b[A-Za-z]+[-/.][A-Z]{2,}\b")
LATIN_ENDS = "\u024f"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why the dense leg weighs what it weighs for one question."""

    weight: float
    literal: bool  # the question holds a number, an identifier or a quotation: what is written counts
    foreign: float  # share of letters outside the Latin script, which an English embedder reads badly


@dataclass(frozen=True, slots=True)
class Fused:
    """A chunk with its fused score in [0, 1] and what each leg gave it; None: not found by that leg."""

    id: str
    score: float
    dense: float | None
    sparse: float | None


def weigh(question: str, base: float) -> Evidence:
    """The weight of the dense leg: `base`, lowered where the question asks for what only BM25 sees."""
    literal = LITERAL.search(question) is not None
    letters = [letter for letter in question if letter.isalpha()]
    foreign = sum(letter > LATIN_ENDS for letter in letters) / max(1, len(letters))
    lowered = base - LITERAL_SHIFT * literal - FOREIGN_SHIFT * foreign
    return Evidence(max(min(LEAST_WEIGHT, base), lowered), literal, foreign)


def fuse(dense: Hits, sparse: Hits, *, weight: float, limit: int) -> list[Fused]:
    """Both legs as one list, best first. `limit` is what each leg was asked for.

    Each leg is mapped to [0, 1] by its own best and worst. BM25's worst is 0 where the leg was not full,
    because what it left out shares no term.
    """
    near, matching = Leg(dense), Leg(sparse, floor=0.0 if len(sparse) < limit else None)
    # One leg alone decides when the other found nothing at all.
    weight = 1.0 if not sparse else 0.0 if not dense else weight
    fused = [
        Fused(
            key,
            weight * near.scaled(key) + (1 - weight) * matching.scaled(key),
            near.scores.get(key),
            matching.scores.get(key),
        )
        for key in {**near.scores, **matching.scores}
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.id))


class Leg:
    """One leg's scores with its scale."""

    def __init__(self, hits: Hits, *, floor: float | None = None) -> None:
        self.scores: Mapping[str, float] = dict(hits)
        self._best = max(self.scores.values(), default=0.0)
        self._worst = min(self.scores.values(), default=0.0) if floor is None else floor

    def scaled(self, key: str) -> float:
        """0 for the leg's worst and for what it did not find, 1 for its best."""
        if key not in self.scores:
            return 0.0
        if self._best <= self._worst:
            return 1.0
        return (self.scores[key] - self._worst) / (self._best - self._worst)
