"""An earlier answer comes back only where it would come out again, and never across readers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from rag.answering.memory import AnswerMemory, CachePolicy, Situation, recipe_of, same_facts
from rag.settings import AnsweringSettings
from rag.store.vectors import Vectors
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


class Levels:
    """Cosines that are given."""

    def __init__(self, cosines: Sequence[float]) -> None:
        self.cosines = list(cosines)

    async def similarity(self, left: Sequence[str], right: Sequence[str]) -> list[list[float]]:
        assert (len(left), len(right)) == (1, len(self.cosines))
        return [self.cosines]


def alike(memory: AnswerMemory, question: str, where: Situation, *, cosine: float = 1.0) -> Answer | None:
    return asyncio.run(memory.find_alike(question, where, cast(Vectors, Levels([cosine]))))


def memory(policy: CachePolicy = CachePolicy.EXACT, **bounds: int) -> AnswerMemory:
    made = AnswerMemory(policy, **bounds)
    made.keep(QUESTION, situation(), ANSWER)
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
    assert alike(memory(CachePolicy.SEMANTIC), QUESTION, other) is None


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
    found = alike(memory(CachePolicy.SEMANTIC), asked, situation(), cosine=0.96)
    assert found is not None and found.cached == "semantic"
    assert alike(memory(CachePolicy.SEMANTIC), asked, situation(), cosine=0.94) is None
    assert alike(memory(), asked, situation()) is None


def test_of_several_questions_the_nearest_is_taken() -> None:
    made = memory(CachePolicy.SEMANTIC)
    made.keep("How long would leave be?", situation(), replace(ANSWER, text="Another."))
    found = asyncio.run(
        made.find_alike("How long is the leave?", situation(), cast(Vectors, Levels([0.97, 0.99])))
    )
    assert found is not None and found.text == "Another."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What was paid in 2023?", "What was paid in 2024?"),
        ("Which fee is the highest?", "Which fee is the lowest?"),
        ("What did Anna pay Bert?", "What did Bert pay Anna?"),
        ("What is reimbursed?", "What is not reimbursed?"),
        ("When is rent paid?", "Who pays rent?"),
        ("How long does CT-200 run?", "How long does CT-300 run?"),
        ("Quels animaux sont autorisés ?", "Quels animaux ne sont pas autorisés ?"),
        ("Что разрешено курить?", "Что не разрешено курить?"),
        ("Fumer autorisé ?", "Fumer interdit ?"),
        # No letter of a name is a capital here.
        ("أين ولد محمد؟", "أين ولد أحمد؟"),
        ("李明的预算是多少？", "王芳的预算是多少？"),
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
