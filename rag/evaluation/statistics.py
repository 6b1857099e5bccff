"""What a mean of paired differences is worth: its interval, and how many pairs a proof would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
CONFIDENCE = 0.95
Z = 1.96  # standard errors from the mean to either end of a 95 % interval


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
