"""What is asked of a model follows its size, unless somebody says otherwise."""

from __future__ import annotations

import pytest

from rag.answering.ability import LARGER, SMALL, Ability, ability_of, declines
from rag.answering.brief import instructions, messages, wording
from rag.settings import AnsweringSettings, TierSettings

MB = 1_000_000
USUAL = AnsweringSettings()


@pytest.mark.parametrize(
    ("size", "expected"),
    [(98 * MB, SMALL), (299 * MB, SMALL), (400 * MB, LARGER), (5_000 * MB, LARGER), (0, LARGER)],
)
def test_a_small_file_is_a_small_model_and_one_elsewhere_is_not(size: int, expected: Ability) -> None:
    assert ability_of(size, USUAL) == expected


def test_settings_come_before_the_size_and_those_of_a_tier_before_both() -> None:
    told = AnsweringSettings(passages=4, sentences=2)
    tier = TierSettings(kind="local", model="large", passages=8)
    assert ability_of(98 * MB, told) == Ability(4, 2, may_decline=False)
    assert ability_of(900 * MB, told, tier) == Ability(8, 2, may_decline=True)


def test_a_small_model_is_told_to_say_one_sentence_and_nothing_of_declining() -> None:
    assert instructions(SMALL).endswith("Answer with one short sentence. Do not explain.")
    assert messages("Why?", ["text\n\n"])[1].content.endswith(
        "Answer in one sentence, using only the passages."
    )


def test_a_larger_one_may_say_more_and_is_told_what_to_say_when_there_is_nothing() -> None:
    told = instructions(LARGER)
    assert "Answer with at most 3 short sentences." in told
    assert told.endswith(f"If the passages do not answer the question, say only: {wording('unsaid')}")
    assert "Answer in at most 3 sentences" in messages("Why?", ["text\n\n"], LARGER)[1].content


@pytest.mark.parametrize(
    "said",
    [
        "The passages do not say.",
        "The passages don't mention a gym membership.",
        "Unfortunately, the provided documents do not contain this information.",
        "The context does not specify who signed it.",
        "These passages contain no answer to that.",
        "The information given cannot answer the question.",
    ],
)
def test_a_model_that_declines_is_understood(said: str) -> None:
    assert declines(said)


@pytest.mark.parametrize(
    "said",
    [
        "Taxis are not reimbursed.",
        "Documents are kept for ten years.",
        "The document was signed by Karl Brandt.",
        "Passengers do not pay for luggage.",
        "The contract does not say so.",
    ],
)
def test_what_denies_something_is_no_declining(said: str) -> None:
    assert not declines(said)
