"""What a job says is what its logits say, whatever was guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag.engine.generator import Sampling
from rag.engine.job import Job
from rag.engine.sampling import Sampler
from rag.engine.sequence import Segment, Sequence
from rag.engine.speculation import Lookup
from rag.engine.transcript import Transcript

END = 9


class Alphabet:
    """As much of a model as a job needs: token n is a letter, END ends."""

    def ends(self, token: int) -> bool:
        return token == END

    def piece(self, token: int) -> bytes:
        return bytes([97 + token])


def job(draft: list[int], stop: tuple[str, ...], most: int) -> Job:
    options = Sampling(max_tokens=most, stop=stop)
    sequence = Sequence([Segment([1])], most, draft=draft)
    return Job(None, sequence, options, Sampler(options), Transcript(stop), Lookup([[1]]))  # type: ignore[arg-type]


def told(
    likeliest: list[int], draft: list[int], stop: tuple[str, ...], most: int
) -> tuple[list[int], str, Any]:
    """Tokens, text and reason when the model likes these tokens best, one row after the other."""
    one, at = job([], stop, most), 0
    while not one.reason and at < len(likeliest):
        guess = draft[at:][: max(0, len(likeliest) - at - 1)]
        one.sequence.draft = guess
        rows = [np.eye(10, dtype=np.float32)[token] for token in likeliest[at : at + len(guess) + 1]]
        at += 1 + one.take(Alphabet(), rows)  # type: ignore[arg-type]
    return one.sequence.generated, one._text, one.reason


@given(
    likeliest=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    draft=st.lists(st.integers(0, 9), max_size=12),
    stop=st.sampled_from([(), ("bc",), ("aa", "d")]),
    most=st.integers(1, 12),
)
def test_guesses_never_change_what_is_said(
    likeliest: list[int], draft: list[int], stop: tuple[str, ...], most: int
) -> None:
    assert told(likeliest, draft, stop, most) == told(likeliest, [], stop, most)


def test_right_guesses_are_counted_up_to_the_first_wrong_one() -> None:
    one = job([2, 3, 5], (), 20)
    assert one.take(Alphabet(), [np.eye(10, dtype=np.float32)[token] for token in (2, 3, 4, 5)]) == 2  # type: ignore[arg-type]
    assert one.sequence.generated == [2, 3, 4] and (one.drafted, one.accepted) == (3, 2)
