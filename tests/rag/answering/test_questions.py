"""What a question asks for, and whether a sentence says it."""

from __future__ import annotations

import pytest

from rag.answering.questions import Kind, kind_of, says_something


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many days of leave are there?", Kind.AMOUNT),
        ("Wie viele Tage Urlaub gibt es?", Kind.AMOUNT),
        ("When was it founded?", Kind.TIME),
        ("In what year did it close?", Kind.TIME),
        ("Wer hat es gegründet?", Kind.PERSON),
        ("Who is in charge?", Kind.PERSON),
        ("Where is the office?", Kind.PLACE),
        ("Is a taxi reimbursed?", Kind.YES_NO),
        ("What do visitors wear?", Kind.OTHER),
    ],
)
def test_a_question_tells_what_would_answer_it(question: str, kind: Kind) -> None:
    assert kind_of(question) is kind


@pytest.mark.parametrize(
    ("question", "sentence", "says"),
    [
        ("Who founded Nordwind?", "Karl Brandt founded Nordwind.", True),
        ("Who founded Nordwind?", "Nordwind was founded.", False),
        ("Who founded Nordwind?", "Nordwind was founded by its founders.", False),
        ("How many days of leave are there?", "There are days of leave for everybody.", False),
        ("How many days of leave are there?", "There are 28 days of leave.", True),
        ("How many days of leave are there?", "There are twenty days of leave.", True),
        ("How many of the 28 days of leave are paid?", "Of leave twenty-eight days are paid.", False),
        ("When does the gate open?", "The gate opens at eight.", True),
        ("When does the gate open?", "The gate opens at half past nine.", True),
        ("When does the gate open?", "The gate opens at two points of the fence.", True),
        ("When did it close in 1998?", "It closed in 1998.", False),
        ("Which group sets the time agenda?", "The Presiding Officer leads the Parliament.", False),
        ("Is a taxi reimbursed?", "A taxi is not reimbursed.", True),
    ],
)
def test_a_sentence_answers_only_with_something_new_of_the_right_kind(
    question: str, sentence: str, says: bool
) -> None:
    assert says_something(question, sentence) is says
