"""What a step costs here, learnt from the steps that were made."""

from __future__ import annotations

SMALL_STEP = 32  # tokens; up to here a step costs a base (reading the weights) and something per token
FORGET = 0.95


class Pace:
    """Milliseconds of decode steps and of prefill tokens. Starts from guesses and follows the machine.

    Small steps are a line through their last few dozen (least squares, older ones forgotten by FORGET), since
    reading the weights costs the same however many tokens share it.
    """

    def __init__(self, *, decode_ms: float = 20.0, token_ms: float = 5.0) -> None:
        # Two made-up steps on the line of the guesses; real ones push them out.
        self._sums = [0.0] * 5
        self._add(1, decode_ms)
        self._add(SMALL_STEP, decode_ms + (SMALL_STEP - 1) * token_ms)
        self._prefill_ms = token_ms

    @property
    def prefill_ms(self) -> float:
        """Milliseconds of one token in a large piece of a prompt."""
        return self._prefill_ms

    def step_ms(self, tokens: int) -> float:
        """What a step of that many tokens takes."""
        weight, x, y, xx, xy = self._sums
        spread = weight * xx - x * x
        slope = max(0.0, (weight * xy - x * y) / spread) if spread > 1e-9 else 0.0
        base = max(0.0, (y - slope * x) / weight)
        return max(1e-3, base + slope * tokens)

    def note(self, *, decoding: int, prefilling: int, ms: float) -> None:
        """A step was made."""
        if not prefilling and decoding <= SMALL_STEP:
            self._add(decoding, ms)
        elif prefilling >= SMALL_STEP:
            spent = ms - (self.step_ms(decoding) if decoding else 0.0)
            measured = max(spent, 0.1 * ms) / prefilling
            self._prefill_ms += 0.3 * (measured - self._prefill_ms)

    def piece(self, decoding: int, *, target_ms: float, least: int, most: int) -> int:
        """How many prompt tokens fit into a step beside `decoding` tokens, so that it keeps to the target."""
        room = target_ms - self.step_ms(decoding)
        return max(least, min(most, int(room / self._prefill_ms)))

    def _add(self, tokens: int, ms: float) -> None:
        values = (1.0, float(tokens), ms, float(tokens * tokens), tokens * ms)
        self._sums = [FORGET * old + new for old, new in zip(self._sums, values, strict=True)]
