"""Two things side by side: how a question names them, and what it takes to answer it."""

from __future__ import annotations

import asyncio

import pytest

from rag.answering.comparing import Comparison
from rag.answering.quotes import Selection, choose
from rag.types import Chunk, Passage
from tests.rag.answering.levels import Levels


def passage(text: str, title: str, number: int = 0) -> Passage:
    return Passage(Chunk(f"c{number}", number, text), f"d{number}", 1, title, f"/{number}", 1.0 - number / 10)


def ask(question: str, *passages: Passage) -> Selection:
    return asyncio.run(choose(question, passages, Levels(0.5)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "one", "other", "needs_both"),
    [
        ("Which plan is cheaper, Basic or Pro?", {"basic"}, {"pro"}, True),
        ("Who is older, Emma Bull or Virginia Woolf?", {"emma", "bull"}, {"virgin", "woolf"}, True),
        ("Is the per diem higher in Norway or in Sweden?", {"norway"}, {"sweden"}, True),
        ("Are both Kiel and Bonn open on Sundays?", {"kiel"}, {"bonn"}, True),
        ("Do Kiel and the Bank of Norway have the same hours?", {"kiel"}, {"bank", "norway"}, True),
        ("Ist der Tagessatz in Norwegen oder Schweden höher?", {"norweg"}, {"schwed"}, True),
        ("Haben Kiel und Bonn dieselben Zeiten?", {"kiel"}, {"bonn"}, True),
        ("Compare Basic and Pro.", {"basic"}, {"pro"}, True),
        ("Kostet Basic oder Pro mehr?", {"basic"}, {"pro"}, True),
        ("Which is older, Nordwind GmbH or Elbwerke AG?", {"nordwi"}, {"elbwer"}, True),
        # What is told of one of them, or of neither, may be the answer.
        ("Who approves expenses first, Finance or the Head of Unit?", {"financ"}, {"head", "unit"}, False),
        ("Can I take more leave in June or July?", {"june"}, {"july"}, False),
    ],
)
def test_what_a_question_puts_side_by_side(
    question: str, one: set[str], other: set[str], needs_both: bool
) -> None:
    assert Comparison.of(question) == Comparison(frozenset(one), frozenset(other), needs_both)


@pytest.mark.parametrize(
    "question",
    [
        "How high is the per diem?",
        "Who leads Kiel and Bonn?",
        "Is it wet or dry?",
        "What is the difference between 2018 and 2019?",
        "What did Kiel or Kiel pay?",
        "Is the director Anna Berg or Bert Colm?",
        "Do trips longer than 8 hours to Norway or Sweden need approval?",
        "Darf ich als Werkstudent in Berlin oder Hamburg arbeiten?",
        "Gilt ein Fahrrad oder Roller als Dienstfahrzeug?",
        "When was the contract between Nordwind and Elbwerke signed?",
        "Which is cheaper, iPhone or Galaxy?",
        "Which plan is cheapest, Team, Basic or Pro?",
        "",
        "Which is older, A or B? " * 50,
    ],
)
def test_other_questions_compare_nothing(question: str) -> None:
    assert Comparison.of(question) is None


BASIC = passage(
    "The Basic plan has support by mail. It costs 5 euros a month and may be ended at any time.", "Basic plan"
)
PRO = passage(
    "The Pro plan has support by phone. It costs 9 euros a month for each user of the firm.", "Pro plan", 1
)


def test_each_of_the_two_gets_a_quote() -> None:
    chosen = ask("Which plan costs less a month, Basic or Pro?", BASIC, PRO)
    assert ["5 euros" in chosen.quotes[0].sentence.text, "9 euros" in chosen.quotes[1].sentence.text] == [
        True
    ] * 2
    assert chosen.answers(0.3)


def test_where_one_is_not_in_the_documents_nothing_answers() -> None:
    assert ask("Which plan costs less a month, Basic or Team?", BASIC, PRO).quotes == ()
    assert ask("Do Basic and Team have the same support?", BASIC, PRO).quotes == ()


def test_where_nothing_is_weighed_the_other_may_be_missing() -> None:
    told = passage("Expenses are first approved by the head of the unit.", "Expenses")
    chosen = ask("Who approves expenses first, Finance or the Head of Unit?", told)
    assert chosen.quotes[0].sentence.text == told.chunk.text


def test_the_newest_edition_of_each_is_quoted() -> None:
    old, new = (
        passage(f"A month of Basic costs {n} euros.", f"Basic plan {year}", k)
        for k, (n, year) in enumerate([(5, 2023), (7, 2025)])
    )
    pro = passage("A month of Pro costs 6 euros.", "Pro plan", 2)
    chosen = ask("Which costs less a month, Basic or Pro?", old, new, pro)
    assert ["7 euros" in chosen.quotes[0].sentence.text, "6 euros" in chosen.quotes[1].sentence.text] == [
        True
    ] * 2


def test_one_sentence_on_both_is_quoted_as_it_is() -> None:
    both = passage("Basic costs 5 euros a month and Pro costs 9 euros a month.", "Plans")
    chosen = ask("Which plan costs less a month, Basic or Pro?", both)
    assert [each.sentence.text for each in chosen.quotes] == [both.chunk.text]
