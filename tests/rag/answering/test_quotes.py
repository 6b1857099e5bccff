"""Which sentences are chosen for a question, and when none is good enough."""

from __future__ import annotations

import asyncio

import pytest

from rag.answering.confidence import DECLINED_BELOW
from rag.answering.quotes import CANDIDATES, candidates, choose, select, shortlist
from rag.answering.sentences import sentences
from rag.types import Chunk, Passage
from tests.rag.answering.levels import Levels

BAR = DECLINED_BELOW["standard"]


def passage(text: str, *, score: float = 1.0, title: str = "Handbook", number: int = 0) -> Passage:
    return Passage(Chunk(f"c{number}", number, text), f"d{number}", 1, title, f"/{number}", score)


HISTORY = passage(
    "Nordwind Tools makes drills. Karl Brandt founded the company in 1998. The first workshop stood in Kiel.",
    number=1,
)
LEAVE = passage("Paid leave is 28 days a year. It is requested two weeks ahead.", score=0.8, number=2)


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("Who founded the company?", "Karl Brandt founded the company in 1998."),
        ("When was the company founded?", "Karl Brandt founded the company in 1998."),
        ("How many days of paid leave are there?", "Paid leave is 28 days a year."),
        ("Where was the first workshop?", "The first workshop stood in Kiel."),
    ],
)
def test_the_sentence_with_the_answer_comes_first_or_second(question: str, best: str) -> None:
    found = candidates([HISTORY, LEAVE])
    chosen = select(question, found, [0.5] * len(found))
    assert best in [quote.sentence.text for quote in chosen.quotes]


def test_meaning_can_outweigh_words() -> None:
    found = candidates([HISTORY])
    similarities = [0.9 if "Kiel" in each.sentence.text else 0.1 for each in found]
    chosen = select("In which town did it all begin?", found, similarities)
    assert "Kiel" in chosen.quotes[0].sentence.text


def test_a_question_far_from_everything_does_not_reach_the_bar() -> None:
    found = candidates([HISTORY, LEAVE])
    assert not select("What is the boiling point of ammonia?", found, [0.05] * len(found)).answers(BAR)
    assert select("Who founded the company?", found, [0.7] * len(found)).answers(BAR)


def test_without_passages_nothing_answers() -> None:
    chosen = asyncio.run(choose("Who?", [], Levels(0.9)))  # type: ignore[arg-type]
    assert chosen.quotes == () and not chosen.answers(0.0)


def test_the_same_sentence_in_two_passages_is_one_candidate() -> None:
    twin = passage(HISTORY.chunk.text, score=0.5, number=3)
    assert len(candidates([HISTORY, twin])) == len(candidates([HISTORY]))


def test_only_a_shortlist_is_embedded_and_it_holds_the_sentence_with_the_words() -> None:
    noise = passage(" ".join(f"Drill number {n} turns well." for n in range(80)), score=0.9, number=4)
    found = candidates([noise, HISTORY])
    short = shortlist("Who founded the company?", found)
    assert len(short) == CANDIDATES
    assert any("Brandt" in each.sentence.text for each in short)
    levels = Levels(0.5)
    asyncio.run(choose("Who founded the company?", [noise, HISTORY], levels))  # type: ignore[arg-type]
    assert levels.asked == CANDIDATES


def test_a_number_below_zero_is_not_the_same_above_zero() -> None:
    table = passage("| Temperature | Battery |\n|---|---|\n| -20 °C | 22 months |\n| 20 °C | 39 months |")
    found = candidates([table])
    for asked, months in (("-20", "22"), ("20", "39")):
        chosen = select(f"How long does the battery last at {asked} °C?", found, [0.5] * len(found))
        assert [months in quote.sentence.text for quote in chosen.quotes] == [True]


STRANGE = {
    "fr": (
        "Quel est le budget des imprimantes ?",
        "Le budget des imprimantes est de 300 euros.",
    ),
    "ar": ("ما هي الميزانية السنوية للطابعات؟", "الميزانية السنوية للطابعات هي 300 يورو."),
    "zh": ("打印机的年度预算是多少？", "打印机的年度预算为 300 欧元。"),
    "hi": ("प्रिंटर का वार्षिक बजट कितना है?", "प्रिंटर का वार्षिक बजट 300 यूरो है।"),
}
BESIDE = {
    "fr": "Les salariés posent leurs congés deux semaines à l'avance.",
    "ar": "يطلب الموظفون إجازاتهم قبل أسبوعين.",
    "zh": "员工应提前两周申请休假。",
    "hi": "कर्मचारी दो सप्ताह पहले छुट्टी माँगते हैं।",
}


@pytest.mark.parametrize("language", STRANGE)
@pytest.mark.parametrize("cosine", [0.2, 0.9])
def test_in_a_language_that_the_embedder_does_not_know_words_decide(language: str, cosine: float) -> None:
    question, answer = STRANGE[language]
    there, gone = (passage(text) for text in (f"{BESIDE[language]} {answer}", BESIDE[language]))

    def ask(found: Passage) -> tuple[str, bool]:
        chosen = asyncio.run(choose(question, [found], Levels(cosine), limit=1, languages=("en",)))  # type: ignore[arg-type]
        return chosen.quotes[0].sentence.text, chosen.answers(BAR)

    assert ask(there) == (answer, True)
    assert ask(gone)[1] is False


def test_neighbours_are_one_quote_and_leave_room_for_another() -> None:
    text = "Langlade led the mission. His aim was to punish the town."
    found = candidates([passage(text), passage("The aim of the mission was secret.", number=1)])
    chosen = select("What was the aim of the mission of Langlade?", found, [0.5] * len(found))
    assert [quote.sentence.text for quote in chosen.quotes] == [
        "Langlade led the mission. His aim was to punish the town.",
        "The aim of the mission was secret.",
    ]
    for quote in chosen.quotes:
        assert quote.passage.chunk.text[quote.sentence.start : quote.sentence.end] == quote.sentence.text


def test_a_quote_is_two_sentences_at_most_and_no_rows_are_put_together() -> None:
    long = passage("The leave is 28 days. The leave is paid. The leave is requested early.")
    (quote, other) = select("What about the leave?", candidates([long]), [0.5] * 3).quotes
    assert {len(sentences(each.sentence.text)) for each in (quote, other)} == {1, 2}
    table = passage("| Place | Leave |\n|---|---|\n| Kiel | 28 days |\n| Bonn | 30 days |")
    found = candidates([table])
    assert all("\n" not in each.sentence.text for each in select("What leave?", found, [0.5] * 3).quotes)
    listed = "Allowed:\n- assistance dogs\n\nForbidden in the office:\n- smoking"
    headed = "The leave of sites differs.\n\n| Sites | Leave |\n|---|---|\n| Kiel | 28 |"
    for text, question in (
        (listed, "Are assistance dogs allowed in the office?"),
        (headed, "What leave have sites?"),
    ):
        found = candidates([passage(text)])
        quotes = select(question, found, [0.5] * len(found), limit=3).quotes
        assert {each.sentence.text for each in quotes} <= {each.sentence.text for each in found}
    too_long = passage(f"The leave is {'very ' * 130}long. The leave is paid.")
    assert len(select("What about the leave?", candidates([too_long]), [0.5] * 2).quotes) == 2
