"""Reading questions, drawing from them, and hiding needles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.errors import BadRequest
from rag.evaluation.dataset import Excerpt, Question, chosen, needles, read

GOOD = {
    "question": "How many days?",
    "answers": ["28"],
    "passages": [{"title": "Leave", "text": "28 days."}, {"title": "Travel", "text": "140 euros."}],
    "hops": 2,
}


def questions(count: int, hops: int = 1) -> list[Question]:
    excerpts = tuple(Excerpt(f"T{number}", f"Text {number}.") for number in range(5))
    return [Question(f"Question {hops}-{number}?", ("yes",), excerpts, hops) for number in range(count)]


def test_a_line_becomes_a_question(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text(json.dumps(GOOD) + "\n\n", "utf-8")
    excerpts = (Excerpt("Leave", "28 days."), Excerpt("Travel", "140 euros."))
    assert read(tmp_path) == [Question("How many days?", ("28",), excerpts, hops=2)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        (json.dumps(GOOD | {"question": " "}), "question is ' '"),
        (json.dumps(GOOD | {"answers": "28"}), "answers is '28'"),
        (json.dumps(GOOD | {"answers": []}), "answers is"),
        (json.dumps(GOOD | {"passages": GOOD["passages"][:1]}), "at least 2"),  # type: ignore[index]
        (json.dumps(GOOD | {"passages": [{"text": "a"}, {"text": "b"}]}), "title and text"),
        (json.dumps(GOOD | {"hops": 3}), "hops is 3"),
        (json.dumps(GOOD | {"hops": []}), "hops is"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "questions.jsonl").write_text(f"{json.dumps(GOOD)}\n{line}\n", "utf-8")
    with pytest.raises(BadRequest, match=f"line 2: .*{problem}"):
        read(tmp_path)


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"questions\.jsonl cannot be read"):
        read(tmp_path)
    (tmp_path / "questions.jsonl").touch()
    with pytest.raises(BadRequest, match="holds no question"):
        read(tmp_path)


def test_single_and_multi_hop_questions_are_taken_in_turn() -> None:
    taken = chosen([*questions(20), *questions(3, hops=2)], 6, passages=4, seed=1)
    assert sorted(question.hops for question in taken) == [1, 1, 1, 2, 2, 2]


def test_the_first_passages_are_kept_in_an_order_of_the_seed() -> None:
    orders = {
        tuple(excerpt.title for excerpt in chosen(questions(1), 1, passages=3, seed=seed)[0].passages)
        for seed in range(20)
    }
    assert all(sorted(order) == ["T0", "T1", "T2"] for order in orders) and len(orders) > 1
    assert chosen(questions(9), 5, passages=3, seed=4) == chosen(questions(9), 5, passages=3, seed=4)


def test_a_needle_lies_in_every_position_of_as_many_questions_as_asked() -> None:
    hidden = list(needles(questions(3), 2, seed=1))
    assert [question.needle for question in hidden] == [0, 1, 2, 3, 4] * 2
    for question in hidden:
        told = [question.answers[0] in excerpt.text for excerpt in question.passages]
        assert told == [at == question.needle for at in range(5)]
