"""Scores, against values worked out by hand."""

from __future__ import annotations

import pytest

from rag.evaluation.scores import contains, f1, words


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
