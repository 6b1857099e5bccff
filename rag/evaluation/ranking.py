"""How good a ranking is. Ids are ranked best first, each once; `relevant` gives grades above 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def ndcg(ranked: Sequence[str], relevant: Mapping[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain with linear gains, as trec_eval and BEIR compute it."""
    gains = [relevant.get(each, 0) for each in ranked[:depth]]
    best = sorted(relevant.values(), reverse=True)[:depth]
    return _discounted(gains) / _discounted(best)


def recall(ranked: Sequence[str], relevant: Mapping[str, int], depth: int) -> float:
    """The share of relevant ids among the first `depth`."""
    return len(set(ranked[:depth]) & relevant.keys()) / len(relevant)


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, int]) -> float:
    """1 / rank of the first relevant id; 0 if there is none."""
    return next((1 / rank for rank, each in enumerate(ranked, 1) if each in relevant), 0.0)


def hit(ranked: Sequence[str], relevant: Mapping[str, int], depth: int = 1) -> bool:
    """Whether a relevant id is among the first `depth`."""
    return not relevant.keys().isdisjoint(ranked[:depth])


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
