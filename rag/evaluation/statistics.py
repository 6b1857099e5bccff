"""What a mean of paired differences is worth: its interval, and how many pairs a proof would take.

`interval` is for reports. The gates ask for one-sided bounds: `drop_bounds` and `score_bounds`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
CONFIDENCE = 0.95
Z = 1.96  # standard errors from the mean to either end of a 95 % interval
GATE_RESAMPLES = 10_000
Z_ONE_SIDED = 1.6449  # a one-sided 95 % bound
Z_POWER = 1.2816  # a power of 90 %


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % interval; `error` is the standard error of the mean, unknown for one value."""

    mean: float
    low: float
    high: float
    error: float | None
    count: int


def interval(differences: Sequence[float], seed: int = 1) -> Interval:
    """Percentile bootstrap of a mean (Efron 1979). The differences are paired: questions are drawn, not
    answers. There must be at least one."""
    values = np.asarray(differences, np.float64)
    count = len(values)
    assert count
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    means = values[drawn].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    error = float(values.std(ddof=1) / math.sqrt(count)) if count > 1 else None
    return Interval(float(values.mean()), float(low), float(high), error, count)


def pairs_needed(found: Interval, limit: float) -> int | None:
    """How many pairs bring the upper end below `limit` if mean and spread stay; None: no number does."""
    if found.mean >= limit or found.error is None:
        return None
    return math.ceil(found.count * (Z * found.error / (limit - found.mean)) ** 2)


def mcnemar(lost: int, won: int) -> float:
    """Two-sided p of the exact test of McNemar (1947): as many were lost as won, by chance alone."""
    flips, fewer = lost + won, min(lost, won)
    tail: float = sum(math.comb(flips, k) for k in range(fewer + 1)) / 2**flips
    return min(1.0, 2 * tail)


def drop_bounds(drops: Sequence[float], clusters: Sequence[Hashable], seed: int = 1) -> tuple[float, float]:
    """Lower and upper one-sided 95 % bound of a mean by bootstrap; questions of one cluster are drawn
    together, because those about one document are right and wrong together."""
    groups: dict[Hashable, list[float]] = {}
    for drop, cluster in zip(drops, clusters, strict=True):
        groups.setdefault(cluster, []).append(drop)
    sums = np.array([sum(group) for group in groups.values()])
    counts = np.array([len(group) for group in groups.values()])
    random = np.random.default_rng(seed)
    means = []
    for _ in range(GATE_RESAMPLES):
        drawn = random.integers(0, len(sums), len(sums))
        means.append(sums[drawn].sum() / counts[drawn].sum())
    low, high = np.quantile(means, (1 - CONFIDENCE, CONFIDENCE))
    return float(low), float(high)


def score_bounds(lost: int, won: int, count: int) -> tuple[float, float]:
    """Lower and upper one-sided 95 % bound of (lost - won) / count by the score test of Tango (1998),
    Statistics in Medicine 17:891. Unlike the bootstrap it has a width where nothing differs."""
    difference = (lost - won) / count
    low = _crossing(lambda drop: _score(drop, lost, won, count) - Z_ONE_SIDED, -1.0, difference)
    high = _crossing(lambda drop: _score(drop, lost, won, count) + Z_ONE_SIDED, difference, 1.0)
    return low, high


def questions_needed(flips: float, margin: float, drop: float = 0.0) -> int:
    """Questions that prove a true `drop` to be below `margin` with a power of 90 %, where the share `flips`
    of the questions changes."""
    spread = max(flips - drop * drop, 0.0)
    return math.ceil((Z_ONE_SIDED + Z_POWER) ** 2 * spread / (margin - drop) ** 2)


def _score(drop: float, lost: int, won: int, count: int) -> float:
    """Standard errors between what was seen and a true drop."""
    a = 2 * count
    b = -lost - won + (2 * count - lost + won) * drop
    c = -won * drop * (1 - drop)
    rare = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    spread = count * (2 * rare + drop * (1 - drop))
    off = lost - won - count * drop
    return off / math.sqrt(spread) if spread > 0 else math.copysign(math.inf, off) if off else 0.0


def _crossing(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is 0, by bisection; the end nearest to it if it is not in between."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return (low + high) / 2


def auc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """The chance that one of the first is above one of the second, equal ones counting half."""
    one, other = np.array(higher)[:, None], np.array(lower)[None, :]
    return float(((one > other) + 0.5 * (one == other)).mean())
