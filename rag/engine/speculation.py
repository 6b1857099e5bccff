"""Prompt lookup: an answer that quotes its passages is guessed from them and checked many tokens at a time.

Saxena, Prompt Lookup Decoding (2023); Oliaro et al., SuffixDecoding (arXiv 2411.04975). What is shown never
depends on a guess: every token is drawn from the logits behind the true ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from rag.engine.pacing import Pace
from rag.engine.suffix import SuffixAutomaton

SHORTEST = 3  # tokens that must agree before what follows them is guessed
TRUST = 0.85  # of a long run: the chance of the next token
WEIGHT = 4.0  # observations that the first guess at the chance is worth


class Lookup:
    """The passages of one prompt, searched for what an answer may say next."""

    def __init__(self, passages: Sequence[Sequence[int]]) -> None:
        self._passages = passages
        self._automaton: SuffixAutomaton | None = None
        self._state, self._length, self._seen = 0, 0, 0
        self._offered = self._taken = 0.0

    def draft(self, generated: Sequence[int], most: int) -> list[int]:
        """Up to `most` tokens that may follow; none when the last few stand nowhere in the passages."""
        if self._automaton is None:  # built only for answers that come this far
            self._automaton = SuffixAutomaton(self._passages)
        for token in generated[self._seen :]:
            self._state, self._length = self._automaton.follow(self._state, self._length, token)
        self._seen = len(generated)
        if self._length < SHORTEST or most < 1:
            return []
        return self._automaton.continuation(self._state, most)

    @property
    def chance(self) -> float:
        """How likely a guessed token is right, after right ones."""
        first = TRUST * self._length / (self._length + 1.0)
        return (WEIGHT * first + self._taken) / (WEIGHT + self._offered)

    def learn(self, offered: int, taken: int) -> None:
        """So many of the guessed tokens were right; those behind the first wrong one say nothing."""
        tried = min(offered, taken + 1)
        self._offered = 0.8 * self._offered + tried
        self._taken = 0.8 * self._taken + taken


def best_length(chances: Sequence[float], longest: int, pace: Pace) -> int:
    """How many tokens each of some sequences should have checked, so that tokens come fastest.

    All the same number: llama.cpp makes another pass over the weights for sequences of other lengths.
    """

    def rate(length: int) -> float:
        expected = sum(1.0 + sum(chance**i for i in range(1, length + 1)) for chance in chances)
        return expected / pace.step_ms(len(chances) * (length + 1))

    return max(range(longest + 1), key=rate)
