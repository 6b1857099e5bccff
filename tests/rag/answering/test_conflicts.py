"""What in a question shows that a sentence answers another one."""

from __future__ import annotations

import pytest

from rag.answering.conflicts import changed_places, opposite, other_number


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Which treaty introduced the tax?", "The treaty abolished the tax."),
        ("In which year did the referendum succeed?", "The referendum failed in 1979."),
        ("Who supported the reform?", "Meyer opposed the reform."),
        ("Which parts are visible in a closed system?", "In an open system these parts are visible."),
        ("Which states played an unimportant role?", "These states played an important role."),
        ("What acts between atomic particles?", "It acts between subatomic particles."),
        ("Which strings have mass?", "The strings are massless."),
        ("Wann wurde die Abgabe eingeführt?", "Die Abgabe wurde 2010 abgeschafft."),
    ],
)
def test_an_opposite_word_is_found(question: str, sentence: str) -> None:
    assert opposite(question, sentence)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("When did the plant open?", "The plant opened in 1998."),
        ("When did the plant open and close?", "The plant closed in 1998 and opened in 2001."),
        ("Who is the founder of the firm?", "Karl Brandt founded the firm."),
        ("How is the water heated?", "A boiler heats the water before the pump."),
    ],
)
def test_the_same_thing_in_other_words_is_no_opposite(question: str, sentence: str) -> None:
    assert not opposite(question, sentence)


def test_who_did_it_and_whom_it_was_done_to_may_not_change_places() -> None:
    sentence = "William conquered Harold at Hastings in 1066."
    assert changed_places("When did Harold conquer William?", sentence)
    assert not changed_places("When did William conquer Harold?", sentence)
    assert not changed_places("Who conquered Harold?", sentence)


def test_a_number_is_the_same_in_digits_and_in_words() -> None:
    text = "Staff have twenty-eight days, and the gate opens at half past nine."
    assert not other_number("Who has 28 days?", text)
    assert not other_number("What opens at 9:30?", text)
    assert other_number("Who has 27 days?", text)
    assert other_number("What opens at half past ten?", text)
