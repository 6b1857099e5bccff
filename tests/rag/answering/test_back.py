"""A question that points at nothing is answered with a question."""

from __future__ import annotations

import pytest

from rag.answering.back import question_back
from rag.types import Chunk, Passage


def passage(title: str) -> Passage:
    return Passage(Chunk("c", 0, "text"), "d", 1, title, "/d", 1.0)


def test_the_reader_is_asked_what_is_meant_and_offered_what_was_found() -> None:
    found = [passage("Travel policy"), passage("Travel policy"), passage("Badges")]
    back = question_back("How long is it kept?", found)
    assert back == 'What do you mean by "it"? Is it about one of these: Travel policy; Badges?'
    assert question_back("How long is it kept?", []) == 'What do you mean by "it"?'
    assert question_back("Wie lange gilt dieses?", []) == "Was meinen Sie mit „dieses“?"


@pytest.mark.parametrize("question", ["How long are calibration records kept?", "What is the per diem?"])
def test_a_clear_question_is_not_asked_back(question: str) -> None:
    assert question_back(question, [passage("Badges")]) is None
