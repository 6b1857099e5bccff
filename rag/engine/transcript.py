"""The text of an answer as it grows: whole characters only, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class Transcript:
    """Turns the bytes of tokens into text that may be shown. `stopped` is set when a stop string was met."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stops = [stop for stop in stops if stop]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def push(self, data: bytes) -> str:
        """The text that is now safe to show; what may become a stop string is held back."""
        return self._advance(self._decoder.decode(data))

    def finish(self) -> str:
        """The rest, once no more tokens come. Half a character is dropped, not shown as a question mark."""
        if self.stopped:
            return ""
        rest, self._held = self._held, ""
        return rest

    def _advance(self, text: str) -> str:
        if self.stopped:
            return ""
        held = self._held + text
        ends = [at for stop in self._stops if (at := held.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return held[: min(ends)]
        keep = self._beginning_of_a_stop(held)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def _beginning_of_a_stop(self, text: str) -> int:
        """Length of the longest end of `text` that a stop string begins with."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
