"""Answers that quote: what may be said, and where a quote may stop."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.engine.generator import Sampling
from rag.engine.sampling import Sampler
from rag.engine.verbatim import Verbatim
from rag.errors import BadRequest

PIECES = [b"<end>", b"\n", b" the", b" office", b" opens", b" at", b" ni", b"ne", b".", b" It", b" closes"]
PIECES += [b" 3", b"5", b" late", b"\n\n", b"Doors", b" ", b" never"]
END, NEWLINE, NEVER = 0, 1, PIECES.index(b" never")
ENDS = frozenset({END})


def tokens(text: str) -> list[int]:
    """A text in pieces, longest first."""
    found: list[int] = []
    data = text.encode()
    while data:
        token = max(
            (t for t, piece in enumerate(PIECES) if data.startswith(piece)), key=lambda t: len(PIECES[t])
        )
        found.append(token)
        data = data[len(PIECES[token]) :]
    return found


def constraint(*texts: str) -> Verbatim:
    return Verbatim([tokens(text) for text in texts], ENDS, PIECES, len(PIECES))


def allowed(verbatim: Verbatim, said: str = "") -> set[str]:
    """The pieces that may follow what is said now."""
    for token in tokens(said):
        assert verbatim.allows(token), PIECES[token]
        verbatim.accept(token)
    masked = np.isfinite(verbatim.mask(np.zeros(len(PIECES), np.float32)))
    assert masked.tolist() == [verbatim.allows(token) for token in range(len(PIECES))]
    return {PIECES[token].decode() for token in np.flatnonzero(masked)}


OFFICE = " the office opens at nine. It closes late"


def test_a_quote_begins_with_a_word() -> None:
    assert allowed(constraint(OFFICE)) == {
        " the",
        " office",
        " opens",
        " at",
        " ni",
        " It",
        " closes",
        " late",
    }


def test_a_chunk_may_begin_inside_a_word_and_a_line_with_a_word() -> None:
    assert allowed(constraint("ne\nDoors")) == {"ne", "Doors"}


def test_a_quote_goes_on_as_its_passage_does() -> None:
    assert allowed(constraint(OFFICE, " at 35"), " at") == {" ni", " 3"}


def test_a_quote_of_four_tokens_may_stop_behind_a_word_and_not_inside_one() -> None:
    verbatim = constraint(OFFICE)
    assert allowed(verbatim, " the office opens") == {" at"}
    assert allowed(verbatim, " at") == {" ni", "<end>", "\n"}
    assert allowed(verbatim, " ni") == {"ne"}
    assert allowed(verbatim, "ne") == {"."}  # the point belongs to the sentence


def test_a_short_quote_may_stop_where_a_sentence_ends() -> None:
    assert allowed(constraint(OFFICE), " nine.") == {" It", "<end>", "\n"}


def test_a_number_is_never_cut() -> None:
    verbatim = constraint(" the office opens at 3.5 late")
    assert allowed(verbatim, " the office opens at 3") == {"."}
    assert allowed(verbatim, ".") == {"5"}
    assert allowed(verbatim, "5") == {" late", "<end>", "\n"}


def test_a_quote_is_left_at_the_end_of_its_chunk_however_short() -> None:
    assert allowed(constraint(OFFICE, " never"), " never") == {"<end>", "\n"}


def test_after_a_newline_another_quote_begins_or_the_turn_ends() -> None:
    verbatim = constraint(OFFICE, " never")
    begins = allowed(verbatim)
    assert allowed(verbatim, " never\n") == begins | {"<end>"}
    assert allowed(verbatim, " It") == {" closes"}


def test_a_newline_of_the_passage_goes_on_or_parts_two_quotes() -> None:
    verbatim = constraint(" the.\n late", " never")
    assert allowed(verbatim, " the.") == {"\n", "<end>"}
    assert " late" in allowed(verbatim, "\n") and verbatim.allows(NEVER)
    assert allowed(verbatim, " never") == {"<end>", "\n"}


def test_nothing_follows_the_end() -> None:
    verbatim = constraint(" never")
    assert allowed(verbatim, " never<end>") == set()
    verbatim.close()


def test_a_token_that_is_not_allowed_is_not_accepted() -> None:
    with pytest.raises(AssertionError, match="not allowed"):
        constraint(OFFICE).accept(END)


def test_the_logits_of_allowed_tokens_stay_and_the_argument_too() -> None:
    logits = np.arange(len(PIECES), dtype=np.float32)
    masked = constraint(" never").mask(logits)
    assert masked[NEVER] == NEVER and np.isneginf(masked[:NEVER]).all()
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("chunks", [[], [[]], [[NEWLINE, 16]]])
def test_without_anything_to_quote_the_request_is_refused(chunks: list[list[int]]) -> None:
    with pytest.raises(BadRequest, match="nothing to quote"):
        Verbatim(chunks, ENDS, PIECES, len(PIECES))


def test_a_vocabulary_without_newline_gives_one_quote() -> None:
    verbatim = Verbatim([[1]], lambda token: token == 0, [b"<end>", b" a"], 2)
    verbatim.accept(1)
    assert np.isfinite(verbatim.mask(np.zeros(2, np.float32))).tolist() == [True, False]


@given(
    st.lists(st.lists(st.integers(1, len(PIECES) - 1), max_size=30), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_whatever_the_model_says_is_quotes(chunks: list[list[int]], seed: int) -> None:
    try:
        verbatim = Verbatim(chunks, ENDS, PIECES, len(PIECES))
    except BadRequest:
        return
    random = np.random.default_rng(seed)
    sampler = Sampler(Sampling(temperature=1.0, seed=seed), verbatim)
    said = ""
    for _ in range(60):
        token = sampler.draw(random.normal(size=len(PIECES)).astype(np.float32), [])
        if token == END:
            break
        said += chr(token + 65)
    passages = ["".join(chr(token + 65) for token in chunk) for chunk in chunks]
    assert _quotes(said, passages), (said, passages)


def _quotes(said: str, passages: list[str]) -> bool:
    """Whether a text is runs of the passages with a newline between two."""
    newline = chr(NEWLINE + 65)
    good = [True] + [False] * len(said)  # good[n]: the first n tokens are whole quotes, each with a newline
    for end in range(1, len(said) + 1):
        good[end] = said[end - 1] == newline and any(
            good[begin] and any(said[begin : end - 1] in passage for passage in passages)
            for begin in range(end - 1)
        )
    return any(
        good[begin] and any(said[begin:] in passage for passage in passages) for begin in range(len(said) + 1)
    ) and not re.fullmatch(f"{re.escape(newline)}+", said)
