"""An answer in two steps: when two sentences are quoted together, and when neither is enough."""

from __future__ import annotations

import pytest

from rag.answering.bridges import Bridges, Step, bridges, is_described
from rag.answering.sentences import sentences
from rag.types import Chunk, Passage

ALLOWANCES = "City | Daily allowance | Hotel limit\nLisbon | 41 € | 120 €\nVienna | 48 € | 135 €"
OFFSITES = (
    "The offsite of the Berlin team takes place in Lisbon in September. The Hamburg team meets in Vienna. "
    "The offsite of the Munich team takes place in Bergen."
)
PROJECTS = (
    "Project | Department | Customer\nKESTREL | Imaging | Clinic\n"
    "HERON | Data Platform | Rail\nSWIFT | | Rail"
)
HEADS = (
    "Department | Head | Floor | Deputy\nImaging | Ruth Obel | 3 | Al Roe\nSales | Nina Brandt | 2 | Imaging"
)
SUPPLIERS = "The lenses for KESTREL are delivered by Optivar. Optivar grants a warranty of five years."


def found(question: str, *texts: str) -> Bridges:
    steps = []
    for n, text in enumerate(texts):
        passage = Passage(Chunk(f"c{n}", 0, text), f"d{n}", 1, f"Paper {n}", f"/{n}", 1.0)
        steps += [Step.of(passage, each) for each in sentences(text)]
    assert is_described(question)
    return bridges(question, steps)


@pytest.mark.parametrize(
    ("question", "texts", "last", "first"),
    [
        (
            "What is the daily allowance in the city where the Berlin team's offsite takes place?",
            (OFFSITES, ALLOWANCES, "The daily allowance is paid monthly."),
            "Lisbon | 41 € | 120 €",
            "The offsite of the Berlin team takes place in Lisbon in September.",
        ),
        (
            "Who is the head of the department that runs project KESTREL?",
            (PROJECTS, HEADS),
            "Imaging | Ruth Obel | 3 | Al Roe",
            "KESTREL | Imaging | Clinic",
        ),
        (
            "How long is the warranty of the supplier that delivered the lenses for KESTREL?",
            (SUPPLIERS, PROJECTS),
            "Optivar grants a warranty of five years.",
            "The lenses for KESTREL are delivered by Optivar.",
        ),
    ],
)
def test_a_name_leads_from_one_sentence_to_the_other(
    question: str, texts: tuple[str, ...], last: str, first: str
) -> None:
    assert [(a.sentence.text, b.sentence.text) for a, b in found(question, *texts).pairs] == [(last, first)]


@pytest.mark.parametrize(
    "question",
    [
        "What is the daily allowance in the city where the Munich team's offsite takes place?",
        "Who is the head of the department that runs project HERON?",
    ],
)
def test_what_is_told_of_others_only_is_no_answer(question: str) -> None:
    result = found(question, OFFSITES, ALLOWANCES, PROJECTS, HEADS)
    assert not result.pairs and result.broken


@pytest.mark.parametrize(
    "question",
    [
        "What is the daily allowance in the city where the Cologne team meets?",  # nobody says where
        "What is the breakfast allowance in the city where the Hamburg team meets?",
        "Who is the head of the department that runs project FALCON?",
        "Who is the head of the department that runs project SWIFT?",  # its cell is empty
    ],
)
def test_no_pair_is_made_up(question: str) -> None:
    assert not found(question, OFFSITES, ALLOWANCES, PROJECTS, HEADS).pairs


def test_one_sentence_that_says_all_needs_no_other() -> None:
    said = "The hotel limit in Vienna, the city where the Hamburg team meets, is 135 €."
    result = found(
        "What is the hotel limit in the city where the Hamburg team meets?", said, ALLOWANCES, OFFSITES
    )
    assert result == Bridges()


def test_two_pairs_are_both_told() -> None:
    other = "The daily allowance in Lisbon was 39 € until May."
    question = "What is the daily allowance in the city where the Berlin team's offsite takes place?"
    assert len(found(question, OFFSITES, ALLOWANCES, other).pairs) == 2
