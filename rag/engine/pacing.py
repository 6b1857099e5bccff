"""What a step costs here, learnt from the steps that were made."""

from __future__ import annotations

from collections.abc import Mapping

SMALL_STEP = 32  # tokens; larger steps are pieces of prompts
NEWS = 0.2  # weight of the newest step
BAD_NEWS = 0.5  # the same when it took longer: a wrong hope costs time at every try
HOPE = 0.9998  # a size that is not used any more is believed cheaper step by step, so that it is tried again


class Pace:
    """Milliseconds of decode steps and of prefill tokens. Starts from guesses and follows the machine.

    `decode_ms`: of steps of so many tokens, as far as they are known. Between known sizes it is interpolated;
    a larger step costs a prompt's token more for each, until it was tried: a second token may cost half of a
    first one where weights are unpacked for it, and nothing where they are only read.
    """

    def __init__(self, decode_ms: Mapping[int, float] | None = None, *, token_ms: float = 5.0) -> None:
        self._small = dict(decode_ms or {1: 20.0})
        self._tried: set[int] = set(decode_ms or ())
        self._prefill_ms = token_ms

    @property
    def prefill_ms(self) -> float:
        """Milliseconds of one token in a large piece of a prompt."""
        return self._prefill_ms

    def step_ms(self, tokens: int) -> float:
        """What a step of that many tokens takes."""
        below = max((size for size in self._small if size <= tokens), default=min(self._small))
        above = min((size for size in self._small if size >= tokens), default=0)
        if not above:
            return self._small[below] + (tokens - below) * self._prefill_ms
        part = (tokens - below) / (above - below) if above > below else 0.0
        return self._small[below] + part * (self._small[above] - self._small[below])

    def note(self, *, decoding: int, prefilling: int, ms: float) -> None:
        """A step was made."""
        if not prefilling and decoding <= SMALL_STEP:
            known = self._small.get(decoding, ms)
            weight = BAD_NEWS if ms > known and decoding > 1 else NEWS
            weight = weight if decoding in self._tried else 1.0
            self._small[decoding] = known + weight * (ms - known)
            self._tried.add(decoding)
            for size in self._small:
                if size not in (1, decoding):
                    self._small[size] *= HOPE
        elif prefilling >= SMALL_STEP:
            spent = ms - (self.step_ms(decoding) if decoding else 0.0)
            measured = max(spent, 0.1 * ms) / prefilling
            self._prefill_ms += 0.3 * (measured - self._prefill_ms)

    def piece(self, decoding: int, *, target_ms: float, least: int, most: int) -> int:
        """How many prompt tokens fit into a step beside `decoding` tokens, so that it keeps to the target."""
        room = target_ms - self.step_ms(decoding)
        return max(least, min(most, int(room / self._prefill_ms)))
