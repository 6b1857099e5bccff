"""How likely the model found a token, before any sampling limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rag.engine.generator import Logprob


def chances(logits: NDArray[np.float32], token: int, top: int, text_of: Callable[[int], str]) -> Logprob:
    """The log-probability of a token and of the `top` likeliest ones, from raw logits, likeliest first."""
    exact = logits.astype(np.float64)
    highest = exact.max()
    normaliser = highest + np.log(np.exp(exact - highest).sum())
    alternatives = tuple(
        (text_of(other), other, float(exact[other] - normaliser)) for other in likeliest(logits, top).tolist()
    )
    return Logprob(text_of(token), token, float(exact[token] - normaliser), alternatives)


def likeliest(logits: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` tokens with the highest logits, highest first."""
    count = min(count, len(logits))
    if count < 1:
        return np.empty(0, np.int64)
    best = np.argpartition(logits, len(logits) - count)[len(logits) - count :]
    order: NDArray[np.int64] = best[np.argsort(-logits[best])]
    return order
