"""Intervals, against values worked out by hand."""

from __future__ import annotations

import pytest

from rag.evaluation.statistics import Interval, interval, pairs_needed


def test_equal_differences_have_no_spread() -> None:
    found = interval([0.25] * 10)
    assert (found.mean, found.low, found.high, found.error, found.count) == (0.25, 0.25, 0.25, 0.0, 10)


def test_the_bootstrap_agrees_with_the_normal_approximation_of_many_pairs() -> None:
    found = interval([1.0, 0.0] * 200)
    error = 0.5 / 400**0.5  # of a fair coin, 400 times
    assert found.mean == 0.5
    assert found.error == pytest.approx(error, rel=0.01)
    assert found.low == pytest.approx(0.5 - 1.96 * error, abs=0.004)
    assert found.high == pytest.approx(0.5 + 1.96 * error, abs=0.004)


def test_the_same_seed_draws_the_same() -> None:
    assert interval([0.0, 1.0, 0.5], 3) == interval([0.0, 1.0, 0.5], 3)


def test_a_single_pair_has_no_standard_error() -> None:
    assert interval([0.5]).error is None


def test_the_pairs_a_proof_takes_follow_from_the_standard_error() -> None:
    # 1.96 * 0.02 is 0.0392 above a mean of 0; an upper end of 0.02 takes 1.96 ** 2 times the pairs.
    assert pairs_needed(Interval(0.0, -0.04, 0.04, 0.02, 100), 0.02) == 385
    assert pairs_needed(Interval(0.02, 0.0, 0.04, 0.01, 100), 0.02) is None
    assert pairs_needed(Interval(0.0, 0.0, 0.0, None, 1), 0.02) is None
