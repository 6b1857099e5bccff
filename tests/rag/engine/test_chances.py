"""Log-probabilities of drawn tokens."""

from __future__ import annotations

import numpy as np
import pytest

from rag.engine.chances import chances, likeliest

LOGITS = np.log(np.array([0.15, 0.5, 0.05, 0.3], dtype=np.float32)) + 7


def test_a_token_comes_with_its_probability_and_the_likeliest_ones() -> None:
    found = chances(LOGITS, 0, 2, "abcd".__getitem__)
    assert (found.text, found.token) == ("a", 0)
    assert np.exp(found.logprob) == pytest.approx(0.15)
    assert [(text, token) for text, token, _ in found.top] == [("b", 1), ("d", 3)]
    assert np.exp([logprob for *_, logprob in found.top]) == pytest.approx([0.5, 0.3])


def test_no_alternatives_are_an_empty_list_and_too_many_are_all() -> None:
    assert chances(LOGITS, 1, 0, str).top == ()
    assert [token for _, token, _ in chances(LOGITS, 1, 20, str).top] == [1, 3, 0, 2]


def test_large_logits_do_not_overflow() -> None:
    found = chances(np.array([3000.0, 2999.0], dtype=np.float32), 1, 1, str)
    assert found.logprob == pytest.approx(-1.3132617)


def test_the_likeliest_of_a_large_vocabulary_are_found() -> None:
    logits = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    assert likeliest(logits, 20).tolist() == np.argsort(-logits)[:20].tolist()
