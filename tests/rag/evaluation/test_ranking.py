"""Ranking measures, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from rag.evaluation.ranking import hit, ndcg, recall, reciprocal_rank

RANKED = ["a", "b", "c", "d"]


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    assert ndcg(RANKED, {"a": 1}) == 1.0
    assert ndcg(RANKED, {"c": 1}) == pytest.approx(1 / math.log2(4))
    both = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    assert ndcg(RANKED, {"b": 1, "d": 1}) == pytest.approx(both)


def test_a_higher_grade_counts_more_and_belongs_first() -> None:
    assert ndcg(RANKED, {"a": 2, "b": 1}) == 1.0
    swapped = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert ndcg(RANKED, {"a": 1, "b": 2}) == pytest.approx(swapped)


def test_what_lies_below_the_depth_does_not_count() -> None:
    assert ndcg(RANKED, {"d": 1}, depth=3) == 0.0
    assert recall(RANKED, {"a": 1, "d": 1}, 3) == 0.5
    assert hit(RANKED, {"a": 1}) and not hit(RANKED, {"b": 1}) and hit(RANKED, {"b": 1}, 2)


def test_the_reciprocal_rank_is_of_the_first_relevant_one() -> None:
    assert reciprocal_rank(RANKED, {"d": 1, "b": 1}) == 0.5
    assert reciprocal_rank(RANKED, {"z": 1}) == 0.0
    assert reciprocal_rank([], {"z": 1}) == 0.0
