"""Intervals, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from rag.evaluation.statistics import (
    Z_ONE_SIDED,
    Interval,
    auc,
    drop_bounds,
    interval,
    mcnemar,
    pairs_needed,
    questions_needed,
    score_bounds,
)


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


@pytest.mark.parametrize(("lost", "won"), [(12, 2), (0, 0), (1, 0), (7, 7), (30, 60)])
def test_mcnemar_is_a_binomial_test_of_the_flips(lost: int, won: int) -> None:
    exact = binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar(lost, won) == pytest.approx(exact)


def constrained_score(drop: float, lost: int, won: int, count: int) -> float:
    """The same statistic, its nuisance parameter found by maximising the likelihood instead of a formula."""
    same = count - lost - won

    def loss(rare: float) -> float:
        chances = ((lost, rare + drop), (won, rare), (same, 1 - 2 * rare - drop))
        return -sum(seen * math.log(max(chance, 1e-300)) for seen, chance in chances)

    found = minimize_scalar(
        loss, bounds=(max(0.0, -drop), (1 - drop) / 2), method="bounded", options={"xatol": 1e-12}
    )
    rare = float(found.x)
    return (lost - won - count * drop) / math.sqrt(count * (2 * rare + drop * (1 - drop)))


@pytest.mark.parametrize(("lost", "won", "count"), [(12, 2, 50), (3, 5, 400), (40, 35, 1000), (1, 9, 60)])
def test_the_score_bounds_are_where_the_score_test_just_does_not_reject(
    lost: int, won: int, count: int
) -> None:
    low, high = score_bounds(lost, won, count)
    assert low < (lost - won) / count < high
    assert constrained_score(low, lost, won, count) == pytest.approx(Z_ONE_SIDED, abs=1e-3)
    assert constrained_score(high, lost, won, count) == pytest.approx(-Z_ONE_SIDED, abs=1e-3)


def test_without_a_flip_the_score_bounds_still_have_a_width() -> None:
    z2 = Z_ONE_SIDED**2
    assert score_bounds(0, 0, 100) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)))


def test_questions_about_one_document_count_as_fewer() -> None:
    drops = [1.0, 0.0, 0.0, 0.0] * 50
    _, apart = drop_bounds(drops, range(200))
    _, together = drop_bounds(sorted(drops), [n // 10 for n in range(200)])
    assert apart == pytest.approx(0.25 + Z_ONE_SIDED * math.sqrt(0.1875 / 200), abs=0.006)
    assert together > apart + 0.08


def test_the_questions_a_gate_needs_are_those_of_the_table() -> None:
    # quantisation reference, D.2: one-sided 5 %, power 90 %, true drop 0.
    table = {
        (0.03, 0.02): 643,
        (0.05, 0.02): 1071,
        (0.10, 0.02): 2141,
        (0.10, 0.05): 343,
        (0.15, 0.01): 12846,
    }
    for (flips, margin), needed in table.items():
        assert questions_needed(flips, margin) == pytest.approx(needed, abs=1)


def test_the_area_under_the_curve_is_the_chance_of_being_above() -> None:
    assert auc([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert auc([0.5], [0.5, 0.7, 0.3]) == 0.5
    assert auc([0.1, 0.4], [0.2, 0.3]) == 0.5
