"""An earlier answer comes back only where it would come out again, and never across readers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.answering.memory import AnswerMemory, CachePolicy, Situation, recipe_of, same_facts
from rag.settings import AnsweringSettings
from rag.types import Answer, Chunk, Cost, Outcome, Passage, Principal, Tier, Usage

PASSAGE = Passage(Chunk("c", 0, "Leave is 28 days."), "d", 1, "Leave", "/l", 0.9)
ANSWER = Answer(
    "28 days. [1]", Outcome.QUOTED, Tier.EXTRACT, (), (PASSAGE,), Usage(), Cost(0.0, "EUR", 0.0, "measured")
)
READER = Principal("acme", ("staff",))
QUESTION = "How long is leave?"


def situation(
    reader: Principal = READER, *passages: Passage, tier: str = "extract", recipe: str = "r"
) -> Situation:
    return Situation.of(reader, tier, recipe, passages or (PASSAGE,))


def memory(policy: CachePolicy = CachePolicy.EXACT, **bounds: int) -> AnswerMemory:
    made = AnswerMemory(policy, **bounds)
    made.keep(QUESTION, situation(), ANSWER, [1.0, 0.0])
    return made


def test_the_same_question_in_the_same_situation_gets_the_answer_and_is_told_so() -> None:
    found = memory().find("  How long  is leave ", situation())
    assert found is not None
    assert (found.text, found.cached, found.passages) == (ANSWER.text, "exact", ())


@pytest.mark.parametrize(
    "other",
    [
        situation(Principal("acme", ("staff", "board"))),
        situation(Principal("rival", ("staff",))),
        situation(READER, replace(PASSAGE, version=2)),
        situation(READER, replace(PASSAGE, chunk=Chunk("c", 0, "Leave is 30 days."))),
        situation(READER, PASSAGE, replace(PASSAGE, chunk=Chunk("e", 0, "More."), version=9)),
        situation(tier="small"),
        situation(recipe="s"),
    ],
    ids=["groups", "tenant", "version", "text", "another passage", "tier", "recipe"],
)
def test_anything_else_that_the_answer_depends_on_makes_it_another_question(other: Situation) -> None:
    assert memory().find(QUESTION, other) is None
    assert memory(CachePolicy.SEMANTIC).find_alike(QUESTION, [1.0, 0.0], other) is None


def test_off_keeps_nothing() -> None:
    assert len(memory(CachePolicy.OFF)) == 0


def test_a_removal_forgets_everything() -> None:
    made = memory()
    made.at("first")
    assert len(made) == 0
    made.keep(QUESTION, situation(), ANSWER)
    made.at("first")
    assert made.find(QUESTION, situation()) is not None
    made.at("second")
    assert len(made) == 0


def test_it_is_bounded_in_number_and_in_bytes_and_the_least_used_goes_first() -> None:
    made = memory(most_answers=2)
    made.keep("Second?", situation(), ANSWER)
    assert made.find(QUESTION, situation()) is not None
    made.keep("Third?", situation(), ANSWER)
    assert made.find("Second?", situation()) is None and made.find(QUESTION, situation()) is not None
    small = memory(most_bytes=700)
    small.keep("Second?", situation(), ANSWER)
    assert len(small) == 1


def test_one_tenant_cannot_drive_out_the_answers_of_another() -> None:
    made = memory(most_answers=2)
    for n in range(9):
        made.keep(f"Question {n}?", situation(Principal("loud")), ANSWER)
    assert made.find(QUESTION, situation()) is not None


def test_a_question_in_other_words_is_found_by_meaning_only_where_that_is_wanted() -> None:
    asked = "How long is the leave?"
    found = memory(CachePolicy.SEMANTIC).find_alike(asked, [0.99, 0.05], situation())
    assert found is not None and found.cached == "semantic"
    assert memory(CachePolicy.SEMANTIC).find_alike(asked, [0.5, 0.8], situation()) is None
    assert memory().find_alike(asked, [1.0, 0.0], situation()) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What was paid in 2023?", "What was paid in 2024?"),
        ("Which fee is the highest?", "Which fee is the lowest?"),
        ("What did Anna pay Bert?", "What did Bert pay Anna?"),
        ("What is reimbursed?", "What is not reimbursed?"),
        ("When is rent paid?", "Who pays rent?"),
        ("How long does CT-200 run?", "How long does CT-300 run?"),
    ],
)
def test_near_questions_that_ask_for_something_else_are_told_apart(one: str, other: str) -> None:
    assert not same_facts(one, other)
    assert same_facts(one, one)


def test_the_recipe_changes_with_model_and_settings() -> None:
    settings = AnsweringSettings()
    assert recipe_of(settings, "a") != recipe_of(settings, "b")
    assert recipe_of(settings, "a") != recipe_of(AnsweringSettings(max_quotes=3), "a")
    assert recipe_of(settings, "a") == recipe_of(AnsweringSettings(), "a")
