"""Rules that hold for some years, and questions that ask about some."""

from __future__ import annotations

import pytest

from rag.answering.confidence import Evidence, signs
from rag.answering.conflicts import forbids, polar
from rag.answering.quotes import candidates, score
from rag.answering.sentences import Sentence
from rag.answering.validity import FIRST, LAST, Span, agreement, asked, said
from rag.types import Chunk, Passage

OLD = "From 2021 to 2023 the rate was 0.30 euros per kilometre."
NEW = "Since 1 January 2024 the rate is 0.38 euros per kilometre."


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (OLD, Span(2021, 2023)),
        (NEW, Span(2024, LAST)),
        ("Before 1 September 2023 one day was allowed.", Span(FIRST, 2023)),
        ("Before 2024 one day was allowed.", Span(FIRST, 2023)),
        ("Bis März 2024 betrug der Bonus 50 Euro.", Span(FIRST, 2024)),
        ("Gültig ab 1. Januar 2024.", Span(2024, LAST)),
        ("Depuis 2022 la franchise est de 150 euros.", Span(2022, LAST)),
        ("Entre 2019 y 2021 eran seis libros.", Span(2019, 2021)),
        ("Claims are filed within 60 days.", None),
    ],
)
def test_a_sentence_says_for_which_years_it_holds(text: str, span: Span | None) -> None:
    assert said(text) == span


@pytest.mark.parametrize(
    ("question", "span"),
    [
        ("What was the rate in 2022?", Span(2022, 2022)),
        ("What was allowed before 2024?", Span(FIRST, 2023)),
        ("What is the current rate?", Span(LAST, LAST)),
        ("Wie hoch ist der Satz heute?", Span(LAST, LAST)),
        ("What is the rate?", None),
    ],
)
def test_a_question_asks_about_years_or_now(question: str, span: Span | None) -> None:
    assert asked(question) == span


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("What was the rate per kilometre in 2022?", OLD),
        ("What was the rate per kilometre before 2024?", OLD),
        ("What is the current rate per kilometre?", NEW),
        ("What was the rate per kilometre in 2024?", NEW),
    ],
)
def test_the_rule_of_the_years_asked_about_comes_first(question: str, first: str) -> None:
    passage = Passage(Chunk("c", 0, f"{NEW} {OLD}"), "d", 1, "Travel", "/d", 1.0)
    found = candidates([passage])
    scores = score(question, found, [0.5, 0.5])
    assert found[scores.index(max(scores))].sentence.text == first
    assert agreement(question, first) == 1


def test_a_year_within_a_span_is_no_other_number() -> None:
    sentence = Sentence(0, len(OLD), OLD)
    evidence = Evidence(sentence, OLD, 0.5, frozenset(), frozenset())
    assert signs("What was the rate in 2022?", [evidence], {}).other_number == 0
    assert signs("What was the rate in 2019?", [evidence], {}).other_number == 1


def test_what_is_not_allowed_is_answered_by_what_is_forbidden() -> None:
    text = "Parking on the market square is prohibited on Wednesdays."
    assert forbids("Who may not park on the market square?", text)
    assert not forbids("Who may park on the market square?", text)
    evidence = Evidence(Sentence(0, len(text), text), text, 0.5, frozenset(), frozenset())
    found = signs("Who may not park on the market square?", [evidence], {})
    assert (found.negative, found.opposite) == (0, 0)
    assert signs("Who may park on the market square?", [evidence], {}).opposite == 1


def test_yes_or_no_is_answered_by_the_opposite_too() -> None:
    assert polar("Is parking allowed on Wednesdays?") and polar("Darf ich parken?")
    assert not polar("When is parking allowed?")
