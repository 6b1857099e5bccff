"""Scores, against values worked out by hand."""

from __future__ import annotations

import pytest

from rag.evaluation.scores import contains, exact, f1, numeric, recall, words


def test_words_lose_case_articles_and_punctuation() -> None:
    assert words("The Rumford-Medal, a prize!") == ["rumfordmedal", "prize"]


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("28 days", ["28 days"], 1.0),
        ("There are 28 days of leave.", ["28 days"], 2 * 2 / (6 + 2)),
        ("thirty", ["28 days", "thirty days"], 2 / 3),
        ("", ["28 days"], 0.0),
        ("nothing alike", ["28 days"], 0.0),
    ],
)
def test_f1_is_that_of_the_best_gold_answer(answer: str, gold: list[str], score: float) -> None:
    assert f1(answer, gold) == pytest.approx(score)


def test_an_answer_contains_whole_words_only() -> None:
    assert contains("It is code 7413.", ["7413"])
    assert not contains("It is code 17413.", ["7413"])
    assert not contains("anything", ["the"])  # a gold answer of articles only proves nothing


def test_an_exact_answer_has_no_other_words() -> None:
    assert exact("The 28 days.", ["28 days"]) and not exact("28 days a year", ["28 days"])


def test_recall_is_the_share_of_the_gold_words() -> None:
    assert recall("They get 28 days", ["28 days of leave"]) == 0.5
    assert recall("", ["28 days"]) == recall("28", []) == 0.0


@pytest.mark.parametrize(
    ("answer", "gold", "scale", "right"),
    [
        ("Revenue was $1,234.5 million.", "1234.5", "million", True),
        ("Revenue was 1,234,500,000 dollars.", "1234.5", "million", True),
        ("Revenue was 1234 thousand.", "1234", "million", False),
        ("The share is 12.54 %.", "12.5", "percent", True),
        ("The share is 12.7 %.", "12.5", "percent", False),
        ("It changed by -3.", "-3", "", True),
        ("It fell by 3.", "-3", "", True),
        ("It rose by 3.", "-3", "", False),
        ("It rose by -3.", "3", "", False),
        ("No number here.", "3", "", False),
    ],
)
def test_numbers_are_compared_by_value_sign_and_scale(
    answer: str, gold: str, scale: str, right: bool
) -> None:
    assert numeric(answer, [gold], scale) is right
