"""Every sign moves the probability the way a reader would expect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.answering.confidence import (
    DECLINED_BELOW,
    Evidence,
    Signs,
    declined_below,
    kindred,
    probability,
    signs,
)
from rag.answering.sentences import Sentence
from rag.settings import AnsweringSettings
from rag.types import Profile

MIDDLE = Signs(0.5, 0.5, 0.5)


@pytest.mark.parametrize("name", ["similar", "covered", "named"])
def test_more_of_it_speaks_for_the_answer(name: str) -> None:
    assert probability(replace(MIDDLE, **{name: 0.9})) > probability(MIDDLE)


@pytest.mark.parametrize("name", ["negative", "opposite", "other_number", "changed_places"])
def test_it_speaks_against_the_answer(name: str) -> None:
    assert probability(replace(MIDDLE, **{name: 1.0})) < probability(MIDDLE)


def test_nothing_is_declined_and_a_perfect_match_is_not_at_any_risk() -> None:
    assert probability(Signs()) < min(DECLINED_BELOW.values())
    assert probability(Signs(1.0, 1.0, 1.0)) > max(DECLINED_BELOW.values())
    assert DECLINED_BELOW[Profile.STANDARD] < DECLINED_BELOW[Profile.HIGH]
    assert list(DECLINED_BELOW) == list(Profile)


def test_an_operator_may_set_the_bar() -> None:
    assert declined_below(AnsweringSettings(profile=Profile.HIGH)) == DECLINED_BELOW[Profile.HIGH]
    assert declined_below(AnsweringSettings(profile=Profile.HIGH, decline_below=0.0)) == 0.0


def test_signs_are_read_from_question_and_quote() -> None:
    text = "The plant in Kiel did not open before 1998."
    evidence = Evidence(
        Sentence(0, len(text), text), text, 0.6, frozenset({"plant", "open"}), frozenset({"plant", "kiel"})
    )
    found = signs("Why did the plant in Kiel not close in 2001?", [evidence], {"plant": 1.0, "kiel": 3.0})
    assert found == Signs(0.6, 0.25, 0.5, negative=1.0, opposite=1.0, other_number=1.0, changed_places=0.0)


@pytest.mark.parametrize("name", ["covered", "near", "within"])
def test_in_a_strange_language_the_words_speak(name: str) -> None:
    assert probability(replace(MIDDLE, **{name: 1.0}), by_words=True) > probability(MIDDLE, by_words=True)
    assert probability(replace(MIDDLE, similar=0.9), by_words=True) == probability(MIDDLE, by_words=True)
    assert probability(Signs(similar=1.0), by_words=True) < min(DECLINED_BELOW.values())
    found = Signs(covered=1.0, near=1.0, within=1.0)
    assert probability(found, by_words=True) > max(DECLINED_BELOW.values())
    assert probability(replace(found, negative=1.0), by_words=True) < probability(found, by_words=True)


def test_another_ending_of_a_word_counts_as_the_word() -> None:
    assert kindred({"hund", "werkst", "auto"}, {"hunde", "werkst"}) == {"hund", "werkst"}
    assert kindred({"día", "haus", "hund", "1000"}, {"días", "hausme", "hundert", "10000"}) == {
        "haus"
    }  # too short, too far
    text = "Hunde bleiben draußen."
    evidence = Evidence(Sentence(0, len(text), text), text, 0.1, frozenset({"hunde"}), frozenset({"hunde"}))
    found = signs("Darf der Hund mit?", [evidence], {"hund": 1.0, "mit": 1.0}, by_words=True)
    assert (found.covered, found.near, found.within) == (0.5, 0.5, 0.5)
    assert signs("Darf der Hund mit?", [evidence], {"hund": 1.0, "mit": 1.0}).covered == 0.0
