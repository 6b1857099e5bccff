"""When a question needs the turn before it."""

from __future__ import annotations

import pytest

from rag.retrieval.question import in_context, own_share, standalone, unclear
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


@pytest.mark.parametrize(
    ("before", "follow_up", "becomes"),
    [
        ("How high is the limit in Oslo?", "And in Zurich?", "How high is the limit in Zurich?"),
        ("What did Acme earn in 2022?", "and in 2023?", "What did Acme earn in 2023?"),
        ("Who leads Nordwind Tools?", "What about Elbwerke?", "Who leads Elbwerke?"),
        ("Wie hoch ist die Grenze in Oslo?", "Und in Zürich?", "Wie hoch ist die Grenze in Zürich?"),
        ("Is it far from Oslo to Bergen?", "And to Kiel?", "Is it far from Oslo to Kiel?"),
        # Two places to put it, or more than a name: both turns are kept.
        ("Is Oslo far from Bergen?", "What about Kiel?", None),
        ("Did Acme pay Elbwerke?", "And Nordwind?", None),
        ("How high is the limit in Oslo?", "And in Zurich at night?", None),
    ],
)
def test_another_name_takes_the_place_of_the_one_asked_about(
    before: str, follow_up: str, becomes: str | None
) -> None:
    assert standalone(follow_up, [Message("user", before)]) == (becomes or f"{before} {follow_up}")


def test_names_are_exchanged_along_a_chain_of_follow_ups() -> None:
    history = [Message("user", "How high is the limit in Oslo?"), Message("user", "And in Zurich?")]
    assert standalone("And in Kiel?", history) == "How high is the limit in Kiel?"


def test_a_question_of_its_own_stays_as_it_is() -> None:
    question = "Who approves travel expenses above 500 euros?"
    assert standalone(question, HISTORY) == question


def test_a_chain_of_follow_ups_goes_back_to_where_it_started() -> None:
    history = [*HISTORY, Message("user", "And in Germany?"), Message("assistant", "Also thirty.")]
    assert standalone("why?", history) == f"{HISTORY[0].content} And in Germany? why?"


def test_without_a_conversation_nothing_is_added() -> None:
    assert standalone(" why? ") == "why?"


def test_the_context_of_a_turn_is_the_question_and_the_answer_before_it() -> None:
    assert in_context("And in Germany?", HISTORY) == f"{HISTORY[0].content} Thirty days. And in Germany?"
    assert in_context("And in Germany?", []) == ""


def test_a_long_answer_lends_only_its_beginning() -> None:
    history = [HISTORY[0], Message("assistant", "Thirty days. " + "And more words. " * 200)]
    assert len(in_context("why?", history)) < 400


def test_a_question_that_leans_back_counts_less_by_itself() -> None:
    assert own_share("And in Germany?") < own_share("Who approves travel expenses above 500 euros?")


@pytest.mark.parametrize(("question", "word"), [("How long is it kept?", "it"), ("Who are they?", "they")])
def test_a_word_that_points_at_nothing_is_asked_back_about(question: str, word: str) -> None:
    assert unclear(question) == word
    assert unclear(question, HISTORY) == ""


@pytest.mark.parametrize(
    "question",
    [
        "How long are calibration records kept?",
        "What did the company say about its debt and its interest expense?",
        "Is it true that form 4711 is gone?",
        "Who is Acme and what do they sell?",
    ],
)
def test_a_question_that_says_what_it_is_about_is_clear(question: str) -> None:
    assert unclear(question) == ""


@pytest.mark.parametrize(
    ("before", "follow_up", "expected"),
    [
        ("Which month had the highest cost?", "And the lowest?", "Which month had the lowest cost?"),
        ("How many beds were there in March?", "and for april?", "How many beds were there in april?"),
        ("Quelle était la production en mars ?", "Et en avril ?", "Quelle était la production en avril ?"),
        ("¿Cuántas visitas hubo en 2022?", "¿Y en 2021?", "¿Cuántas visitas hubo en 2021?"),
    ],
)
def test_a_month_an_extreme_or_a_year_takes_the_place_of_one(
    before: str, follow_up: str, expected: str
) -> None:
    assert standalone(follow_up, [Message("user", before)]) == expected


STAND_ALONE = [
    ("打印机的年度预算是多少？", "员工每年有多少天年假？"),
    ("プリンターの年間予算はいくらですか", "有給休暇は年に何日ありますか"),
    ("ما هي الميزانية السنوية للطابعات؟", "كم عدد أيام الإجازة في السنة؟"),
    ("प्रिंटर का वार्षिक बजट कितना है?", "कर्मचारियों को कितनी छुट्टी मिलती है?"),
    ("Quel est le budget annuel des imprimantes ?", "Combien de jours de congé y a-t-il par an ?"),
    ("¿Cuál es el presupuesto anual de la ESA?", "¿Cuántos días de vacaciones hay al año?"),
    # Words that look like one that points back.
    ("En quelle année le bâtiment de Paris a-t-il été construit ?", "Combien de jours de congé y a-t-il ?"),
    (
        "Que dit le règlement sur les horaires de travail du personnel ?",
        "Combien de jours de congé y a-t-il ?",
    ),
    ("Care este bugetul anual al imprimantelor din birou?", "Câte zile de concediu sunt?"),
    ("E coli limits in drinking water samples?", "How many days of leave are there?"),
    ("其他部门的年度差旅预算是多少？", "员工每年有多少天年假？"),
    ("那不勒斯的办公室在哪里？", "员工每年有多少天年假？"),
    ("其它部门的年度差旅预算是多少？", "员工每年有多少天年假？"),
    ("それぞれの部署の年間予算はいくらですか", "有給休暇は年に何日ありますか"),
    ("लैपटॉप का इस्तेमाल घर पर कौन कर सकता है?", "कर्मचारियों को कितनी छुट्टी मिलती है?"),
]


@pytest.mark.parametrize(("question", "before"), STAND_ALONE)
def test_a_question_in_any_script_stands_alone(question: str, before: str) -> None:
    assert standalone(question, [Message("user", before)]) == question


@pytest.mark.parametrize(
    "follow_up",
    [
        "它的价格是多少？",
        "那么明年呢？",
        "和明年？",
        "وماذا عن السنة القادمة؟",
        "और अगले साल कितनी छुट्टी मिलती है?",
        "Et combien coûte celle de Paris ?",
        "¿Cuánto cuesta eso en un año completo?",
        "Quanto costa questo in un anno intero?",
        "छुट्टी कितनी?",
    ],
)
def test_a_follow_up_in_any_script_leans_back(follow_up: str) -> None:
    before = "打印机的年度预算是多少？"
    assert standalone(follow_up, [Message("user", before)]) == f"{before} {follow_up}"


def test_a_word_that_points_at_nothing_is_asked_about_in_more_languages() -> None:
    assert unclear("¿Cuánto cuesta eso?") == "eso"
    assert unclear("它多少钱？") == ""  # too few words cannot be told there
    assert unclear("Care este bugetul?") == unclear("À quelle heure ?") == ""
