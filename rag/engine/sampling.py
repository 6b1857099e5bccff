"""The next token from logits: greedy, or drawn with a seed of its own for every sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.engine.generator import Sampling
from rag.errors import BadRequest, ModelError


class Sampler:
    """Draws the tokens of one sequence. The same seed and the same logits give the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        check(sampling)
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def draw(self, logits: NDArray[np.float32], generated: Sequence[int]) -> int:
        """One token. The repeat penalty sees generated tokens only: an answer may quote its prompt freely."""
        if self._sampling.repeat_penalty != 1.0 and generated:
            logits = penalised(logits, generated, self._sampling.repeat_penalty)
        best = int(np.argmax(logits))
        if not np.isfinite(logits[best]):
            raise ModelError("the model computed numbers that are not finite; rag doctor checks the build")
        if self._sampling.temperature == 0.0 or self._sampling.top_k == 1:
            return best
        return self._random_token(logits)

    def _random_token(self, logits: NDArray[np.float32]) -> int:
        top_k = self._sampling.top_k or len(logits)
        order = np.argsort(logits)[::-1][:top_k]
        scaled = logits[order].astype(np.float64) / self._sampling.temperature
        weights = np.exp(scaled - scaled[0])
        weights /= weights.sum()
        # The smallest set of tokens that reaches top_p; the first always stays.
        kept = 1 + int(np.searchsorted(np.cumsum(weights)[:-1], self._sampling.top_p))
        weights = weights[:kept] / weights[:kept].sum()
        return int(order[self._random.choice(kept, p=weights)])


def penalised(logits: NDArray[np.float32], tokens: Sequence[int], penalty: float) -> NDArray[np.float32]:
    """Logits that make used tokens less likely: positive ones are divided, negative ones multiplied."""
    changed = logits.copy()
    used = np.unique(np.asarray(tokens))
    changed[used] = np.where(changed[used] > 0, changed[used] / penalty, changed[used] * penalty)
    return changed


def check(sampling: Sampling) -> None:
    """Refuse numbers that mean nothing. Raises BadRequest."""
    allowed = {
        "temperature": 0.0 <= sampling.temperature <= 10.0,
        "top_p": 0.0 < sampling.top_p <= 1.0,
        "top_k": sampling.top_k >= 0,
        "seed": sampling.seed >= 0,
        "repeat_penalty": 0.0 < sampling.repeat_penalty <= 10.0,
        "max_tokens": sampling.max_tokens >= 1,
    }
    for name, is_allowed in allowed.items():
        if not is_allowed:
            raise BadRequest(f"sampling: {name} is {getattr(sampling, name)}, which is out of range")
