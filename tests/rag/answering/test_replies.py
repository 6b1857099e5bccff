"""What a reader is told without a model."""

from __future__ import annotations

import re

import pytest

from rag.answering.replies import refusal, replies
from rag.types import Chunk, Passage


def passage(title: str) -> Passage:
    return Passage(Chunk("c", 0, "Text."), "d", 1, title, "/h", 1.0)


def test_a_refusal_names_the_nearest_documents_once() -> None:
    found = [passage("Leave"), passage("Leave"), passage("Travel")]
    assert refusal("Why?", found) == "The documents do not answer this. Nearest: Leave; Travel."
    assert "Nearest" not in refusal("Why?", [])


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("Welche Farbe hat der Kanarienvogel des Chefs?", "Die Dokumente beantworten das nicht"),
        ("Combien de jours de congé ?", "Les documents n'y répondent pas"),
        ("¿Cuántos días de vacaciones hay?", "Los documentos no responden a esto"),
        ("Quanti giorni di ferie ci sono?", "I documenti non rispondono"),
        ("Quantos dias de férias há por ano?", "Os documentos não respondem"),
        ("Hoeveel verlofdagen zijn er per jaar?", "De documenten geven hier geen antwoord op"),
        ("Ile dni urlopu jest w roku?", "Dokumenty na to nie odpowiadają"),
        ("打印机的年度预算是多少？", "The documents do not answer this"),
        ("VPN", "The documents do not answer this"),
    ],
)
def test_a_refusal_is_in_the_language_of_the_question(question: str, begins: str) -> None:
    assert refusal(question, []).startswith(begins)
    assert refusal(question, [passage("{titles}")]).startswith(begins)


def test_every_reply_is_there_in_every_language_with_the_same_gaps() -> None:
    languages = list(replies()["not_found"])
    assert languages[0] == "en"
    for texts in replies().values():
        assert list(texts) == languages
        assert len({tuple(re.findall(r"{\w+}", text)) for text in texts.values()}) == 1
