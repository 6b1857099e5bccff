"""When a question needs the turn before it."""

from __future__ import annotations

import pytest

from rag.retrieval.question import standalone
from rag.types import Message

HISTORY = [
    Message("user", "How many days of annual leave do employees have?"),
    Message("assistant", "Thirty days."),
]


@pytest.mark.parametrize(
    "follow_up", ["And in Germany?", "Can I carry them over?", "why?", "Was ist mit Teilzeit?"]
)
def test_a_follow_up_brings_the_question_before_it(follow_up: str) -> None:
    assert standalone(follow_up, HISTORY) == f"{HISTORY[0].content} {follow_up}"


def test_a_question_of_its_own_stays_as_it_is() -> None:
    question = "Who approves travel expenses above 500 euros?"
    assert standalone(question, HISTORY) == question


def test_a_chain_of_follow_ups_goes_back_to_where_it_started() -> None:
    history = [*HISTORY, Message("user", "And in Germany?"), Message("assistant", "Also thirty.")]
    assert standalone("why?", history) == f"{HISTORY[0].content} And in Germany? why?"


def test_without_a_conversation_nothing_is_added() -> None:
    assert standalone(" why? ") == "why?"
