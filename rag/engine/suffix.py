"""Every run of tokens that a text holds, found in one step per token: a suffix automaton.

Blumer et al., The smallest automaton recognizing the subwords of a text (1985), with one end position for
each state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

NOTED = 128  # suffixes of the newest run that learn where it ends; a token repeated n times has n
SEPARATOR = -1  # between sequences; no token has this number, so no run crosses it


class SuffixAutomaton:
    """The runs of some sequences. A state stands for runs that end at the same places.

    Building costs a few microseconds a token. `extend` may split a state, so whoever extends keeps the length
    of the run beside its state: `follow` puts such a pair right.
    """

    START = 0

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        self._tokens: list[int] = []
        self._next: list[dict[int, int]] = [{}]
        self._link = [-1]  # the state of the longest suffix that ends at more places
        self._length = [0]
        self._end = [-1]  # where the run ended last, that something follows
        self._last = self.START
        for index, sequence in enumerate(sequences):
            if index:
                self.extend(SEPARATOR)
            for token in sequence:
                self.extend(token)

    def next(self, state: int, token: int) -> int | None:
        """The state after the run and one more token; None if that does not occur."""
        return self._next[state].get(token) if token >= 0 else None

    def follow(self, state: int, length: int, token: int) -> tuple[int, int]:
        """The longest suffix of a run and one more token that occurs: its state and its length."""
        # The run may have moved to a shorter state since the caller got this one.
        while state != self.START and length <= self._length[self._link[state]]:
            state = self._link[state]
        if token < 0:
            return self.START, 0
        while (after := self._next[state].get(token)) is None:
            if state == self.START:
                return self.START, 0
            state = self._link[state]
            length = self._length[state]
        return after, length + 1

    def after(self, state: int) -> Iterable[int]:
        """The tokens that follow the run somewhere."""
        return [token for token in self._next[state] if token >= 0]

    def ends(self, state: int) -> bool:
        """Whether the run stands at the end of a sequence somewhere."""
        if SEPARATOR in self._next[state]:
            return True
        suffix = self._last
        while suffix not in (state, self.START):
            suffix = self._link[suffix]
        return suffix == state

    def continuation(self, state: int, count: int) -> list[int]:
        """Up to `count` tokens behind the last place of the run that has any, to the end of its sequence."""
        begin = self._end[state] + 1
        return list(takewhile(lambda token: token >= 0, self._tokens[begin : begin + count]))

    def extend(self, token: int) -> None:
        """One more token at the end of the last sequence."""
        if token != SEPARATOR:
            self._note_ends(self._last)
        self._tokens.append(token)
        new = self._state({}, self.START, self._length[self._last] + 1, len(self._tokens) - 1)
        state, following = self._last, self._next
        while state >= 0 and token not in following[state]:
            following[state][token] = new
            state = self._link[state]
        if state >= 0:
            self._link[new] = self._suffix(state, token)
        self._last = new

    def _suffix(self, state: int, token: int) -> int:
        """The state of exactly the runs of `state` and the token, split off longer ones if need be."""
        after = self._next[state][token]
        if self._length[after] == self._length[state] + 1:
            return after
        clone = self._state(
            dict(self._next[after]), self._link[after], self._length[state] + 1, self._end[after]
        )
        while state >= 0 and self._next[state].get(token) == after:
            self._next[state][token] = clone
            state = self._link[state]
        self._link[after] = clone
        return clone

    def _state(self, following: dict[int, int], link: int, length: int, end: int) -> int:
        self._next.append(following)
        self._link.append(link)
        self._length.append(length)
        self._end.append(end)
        return len(self._next) - 1

    def _note_ends(self, state: int) -> None:
        # One token late, so that a run of the newest tokens is continued as it was the time before.
        end = len(self._tokens) - 1
        for _ in range(NOTED):
            if state <= self.START:
                return
            self._end[state] = end
            state = self._link[state]
