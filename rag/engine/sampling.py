"""The next token from logits: greedy, or drawn with a seed of its own for every sequence."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.engine.chances import likeliest
from rag.engine.generator import Sampling
from rag.errors import BadRequest, ModelError

Logits = NDArray[np.float32]

BAN = -100.0  # OpenAI's lowest bias means never
COUNTS = ("top_k", "seed", "max_tokens", "logprobs")
FIRST_LOOK = 256  # tokens sorted for top_p before more are: nearly always enough


class Constraint(Protocol):
    """What the answer must look like: a grammar, or runs of the passages. Belongs to one sequence."""

    def mask(self, logits: Logits) -> Logits:
        """The logits with every token that may not come next at -inf: a copy."""
        ...

    def allows(self, token: int) -> bool:
        """Whether a token may come next: cheap."""
        ...

    def accept(self, token: int) -> None:
        """Note that an allowed token was taken."""
        ...

    def close(self) -> None:
        """Free what is held; a second time does nothing."""
        ...


class Sampler:
    """Draws the tokens of one sequence. The same seed and the same logits give the same tokens.

    The order is logit bias, penalties, constraint, temperature, top-k, top-p, min-p. Raises BadRequest for
    numbers that mean nothing.
    """

    def __init__(self, sampling: Sampling, constraint: Constraint | None = None) -> None:
        check(sampling)
        self._sampling = sampling
        self._constraint = constraint
        self._random = np.random.default_rng(sampling.seed)
        self._greedy = sampling.temperature == 0.0 or sampling.top_k == 1
        self._cut = sampling.top_k > 0 or sampling.top_p < 1.0 or sampling.min_p > 0.0

    def draw(self, logits: Logits, generated: Sequence[int]) -> int:
        """One token, which the constraint has then accepted.

        Raises ModelError if the logits are not finite, BadRequest if the constraint leaves nothing.
        """
        logits = self._adjusted(logits, generated)
        best = int(np.argmax(logits))
        if not isfinite(logits[best]):
            raise ModelError("the model computed numbers that are not finite; rag doctor checks the build")
        if self._constraint is None:
            return self._pick(logits, best)
        token = self._constrained(self._constraint, logits, best)
        self._constraint.accept(token)
        return token

    def close(self) -> None:
        """Free what the constraint holds."""
        if self._constraint is not None:
            self._constraint.close()

    def _constrained(self, constraint: Constraint, logits: Logits, best: int) -> int:
        # A mask costs milliseconds. A draw from the whole distribution that is allowed needs none, and tokens
        # drawn again under the mask when it is not come as often as under the mask from the start.
        if (self._greedy or not self._cut) and constraint.allows(token := self._pick(logits, best)):
            return token
        logits = constraint.mask(logits)
        best = int(np.argmax(logits))
        if not isfinite(logits[best]):
            raise BadRequest(
                "sampling: no token is left that grammar, json_schema or verbatim and logit_bias all allow"
            )
        return self._pick(logits, best)

    def _adjusted(self, logits: Logits, generated: Sequence[int]) -> Logits:
        if self._sampling.logit_bias:
            logits = biased(logits, self._sampling.logit_bias)
        if generated:
            logits = penalised(logits, generated, self._sampling)
        return logits

    def _pick(self, logits: Logits, best: int) -> int:
        if self._greedy:
            return best
        weights = _weights(logits, float(logits[best]), self._sampling.temperature)
        if not self._cut:
            return self._drawn(weights, best)
        order = self._candidates(logits, weights)
        return int(order[self._drawn(weights[order], 0)])

    def _candidates(self, logits: Logits, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """The tokens that top_k, top_p and min_p leave, likeliest first; the first always stays."""
        sampling, size = self._sampling, len(logits)
        limit = min(sampling.top_k, size) if sampling.top_k else size
        look = limit if sampling.top_k else min(FIRST_LOOK, size)
        total = None if sampling.top_k else weights.sum()
        while True:
            order = likeliest(logits, look)
            sorted_weights = weights[order]
            reached = np.cumsum(sorted_weights)
            goal = sampling.top_p * (reached[-1] if total is None else total)
            kept = look if sampling.top_p == 1.0 else 1 + int(np.searchsorted(reached[:-1], goal))
            floor = sampling.min_p * sorted_weights[0]
            if sampling.min_p:
                kept = min(kept, max(1, int((sorted_weights >= floor).sum())))
            if kept < look or look == limit:
                return order[:kept]
            look = min(look * 8, limit)

    def _drawn(self, weights: NDArray[np.float64], best: int) -> int:
        reached = np.cumsum(weights)
        index = int(np.searchsorted(reached, self._random.random() * reached[-1], side="right"))
        return index if index < len(weights) else best


def biased(logits: Logits, bias: Sequence[tuple[int, float]]) -> Logits:
    """Logits with a bias added to some tokens; the lowest bias bans. Raises BadRequest for unknown tokens."""
    changed = logits.copy()
    for token, value in bias:
        if token >= len(logits):
            raise BadRequest(
                f"sampling: logit_bias names token {token}; the model has tokens 0 to {len(logits) - 1}"
            )
        changed[token] = -np.inf if value <= BAN else changed[token] + value
    return changed


def penalised(logits: Logits, generated: Sequence[int], sampling: Sampling) -> Logits:
    """Logits that make generated tokens less likely; an answer may quote its prompt freely.

    Repeat: positive logits are divided, negative ones multiplied. Presence is taken off once, frequency as
    often as the token came.
    """
    repeat, presence, frequency = (
        sampling.repeat_penalty,
        sampling.presence_penalty,
        sampling.frequency_penalty,
    )
    if repeat == 1.0 and presence == 0.0 and frequency == 0.0:
        return logits
    changed = logits.copy()
    used, counts = np.unique(np.asarray(generated), return_counts=True)
    chosen = changed[used]
    chosen = np.where(chosen > 0, chosen / repeat, chosen * repeat)
    changed[used] = chosen - presence - frequency * counts
    return changed


def check(sampling: Sampling) -> None:
    """Refuse what means nothing. Raises BadRequest with the value and what is allowed."""
    ranges: dict[str, tuple[float, float]] = {
        "temperature": (0.0, 10.0),
        "top_p": (0.0, 1.0),
        "top_k": (0, 2**31 - 1),
        "min_p": (0.0, 1.0),
        "seed": (0, 2**64 - 1),
        "repeat_penalty": (0.0, 10.0),
        "presence_penalty": (-2.0, 2.0),
        "frequency_penalty": (-2.0, 2.0),
        "max_tokens": (1, 2**31 - 1),
        "logprobs": (0, 20),
    }
    for name, (low, high) in ranges.items():
        value = getattr(sampling, name)
        if name == "logprobs" and value is None:
            continue
        _check_kind(name, value, int if name in COUNTS else (int, float))
        _check_range(name, value, low, high, above=name in ("top_p", "repeat_penalty"))
    for stop in sampling.stop:
        _check_kind("stop", stop, str)
    for token, bias in sampling.logit_bias:
        _check_kind("a token of logit_bias", token, int)
        if token < 0:
            raise BadRequest(f"sampling: logit_bias names token {token}; tokens count from 0")
        _check_kind(f"logit_bias of token {token}", bias, (int, float))
        _check_range(f"logit_bias of token {token}", bias, -100.0, 100.0)
    for name in ("grammar", "json_schema"):
        _check_kind(name, getattr(sampling, name), str)
    given = [name for name in ("grammar", "json_schema", "verbatim") if getattr(sampling, name)]
    if len(given) > 1:
        raise BadRequest(f"sampling: {' and '.join(given)} are both given; choose one")


def _check_kind(name: str, value: object, kind: type | tuple[type, ...]) -> None:
    # True is an int to Python, and nobody means it as a number.
    if not isinstance(value, kind) or isinstance(value, bool):
        words = "a text" if kind is str else "a whole number" if kind is int else "a number"
        raise BadRequest(f"sampling: {name} is {value!r}; it must be {words}")


def _check_range(name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
    if not low <= value <= high or (above and value == low):
        words = f"above {low:g} and at most {high:g}" if above else f"from {low:g} to {high:g}"
        raise BadRequest(f"sampling: {name} is {value}, which is out of range: {words}")


def _weights(logits: Logits, highest: float, temperature: float) -> NDArray[np.float64]:
    """What the softmax at a temperature is proportional to; the likeliest token has weight 1."""
    with np.errstate(over="ignore"):  # at a tiny temperature all but the likeliest go to weight 0
        scaled = (logits - np.float32(highest)).astype(np.float64) / temperature
    return np.exp(scaled)
