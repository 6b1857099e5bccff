"""Answers in the words of the passages: a constraint that allows only runs of their tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.engine.suffix import SuffixAutomaton
from rag.errors import BadRequest

LEAST_TOKENS = 4  # of a quote that stops inside a sentence
UNSPACED_ENDS = tuple("。！？")  # scripts that put no space behind a sentence
SENTENCE_ENDS = (*".!?…", *UNSPACED_ENDS)
CLOSERS = "\"'”’»)]"


class Verbatim:
    """One or several quotes, each a run of tokens of one chunk, a newline between two.

    A quote begins with a word. It may be left where a sentence ends, or after four tokens where a word ends,
    and must be left at the end of its chunk. The turn may end where a quote may be left, or behind the
    newline. `ends` says which tokens end it; `pieces` are the bytes of all tokens. Raises BadRequest if there
    is nothing to quote.
    """

    def __init__(
        self,
        chunks: Sequence[Sequence[int]],
        ends: Callable[[int], bool] | frozenset[int],
        pieces: Sequence[bytes],
        vocabulary: int,
    ) -> None:
        self._pieces = pieces
        self._runs = SuffixAutomaton(chunks)
        self._ends = ends if isinstance(ends, frozenset) else frozenset(filter(ends, range(vocabulary)))
        self._newline = pieces.index(b"\n") if b"\n" in pieces else None
        self._starts = frozenset(word for chunk in chunks for word in _words(chunk, pieces))
        if not self._starts:
            raise BadRequest("sampling: verbatim needs passages in the prompt, and there is nothing to quote")
        self._state = SuffixAutomaton.START
        self._length = 0
        self._last: int | None = None
        self._fresh = True  # a quote may begin

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits with every token that may not come next at -inf: a copy."""
        allowed = [token for token in self._allowed() if token < len(logits)]
        masked = np.full_like(logits, -np.inf)
        masked[allowed] = logits[allowed]
        return masked

    def allows(self, token: int) -> bool:
        """Whether a token may come next."""
        return (
            self._continues(token)
            or (self._fresh and token in self._starts)
            or (self._may_leave() and token == self._newline)
            or (self._may_end() and token in self._ends)
        )

    def accept(self, token: int) -> None:
        """Note that an allowed token was taken; one that could continue a quote or begin one continues it."""
        may_leave = self._may_leave()
        # A newline of the passage goes on with the quote and may as well part it from the next one.
        fresh, continues = may_leave and token == self._newline, self._continues(token)
        if continues:
            self._state, self._length = self._step(token), self._length + 1
        elif self._fresh and token in self._starts:
            self._state, self._length = self._step(token, SuffixAutomaton.START), 1
        else:
            assert self.allows(token), f"token {token} was not allowed"
            self._state, self._length = SuffixAutomaton.START, 0
        self._fresh, self._last = fresh, token

    def close(self) -> None:
        """Nothing native is held."""

    def _allowed(self) -> Iterable[int]:
        if self._length:
            yield from self._following()
        if self._fresh:
            yield from self._starts
        if self._may_end():
            yield from self._ends
        if self._newline is not None and self._may_leave():
            yield self._newline

    def _continues(self, token: int) -> bool:
        return self._length > 0 and self._runs.next(self._state, token) is not None

    def _step(self, token: int, state: int | None = None) -> int:
        after = self._runs.next(self._state if state is None else state, token)
        assert after is not None
        return after

    def _may_end(self) -> bool:
        # Behind a newline too: a model that has said all would have to say something again.
        return self._may_leave() or (self._fresh and self._last is not None)

    def _may_leave(self) -> bool:
        if not self._length or self._last is None:
            return False
        if self._runs.ends(self._state):
            return True
        if not _stops(self._pieces[self._last], (self._pieces[token] for token in self._following())):
            return False
        return self._length >= LEAST_TOKENS or _ends_sentence(self._pieces[self._last])

    def _following(self) -> Iterable[int]:
        return self._runs.after(self._state)


def _words(chunk: Sequence[int], pieces: Sequence[bytes]) -> Iterable[int]:
    """The tokens of a chunk that begin a word."""
    before = b" "
    for token in chunk:
        piece = pieces[token]
        if piece.strip() and (piece[:1].isspace() or before[-1:].isspace()):
            yield token
        before = piece


def _stops(last: bytes, following: Iterable[bytes]) -> bool:
    # Space only: a quote that may stop before any punctuation turns 3.5 into 3.
    if last[-1:].isspace() or _text(last).endswith(UNSPACED_ENDS):
        return True
    return any(piece[:1].isspace() for piece in following)


def _ends_sentence(piece: bytes) -> bool:
    return piece.endswith(b"\n") or _text(piece).rstrip(CLOSERS).endswith(SENTENCE_ENDS)


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "replace").rstrip()
