from __future__ import annotations

from dataclasses import replace

import pytest

from rag.terminal import place, show_evidence, show_passages
from rag.types import Answer, Chunk, Citation, Cost, Outcome, Passage, Tier, Usage

PASSAGE = Passage(
    Chunk(id="c", ordinal=0, text="root:x:0 [b]bold[/b]"),
    document_id="d",
    version=1,
    title="a\x1b[31m:x:.txt",
    uri="a",
    score=0.5,
)


def test_what_a_document_says_is_neither_markup_nor_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    show_passages([replace(PASSAGE, title="list.txt")])
    assert "root:x:0 [b]bold[/b]" in " ".join(capsys.readouterr().out.split())


def test_a_name_gives_the_terminal_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    show_passages([PASSAGE])
    assert "\x1b" not in capsys.readouterr().out
    cited = Citation(1, "d", PASSAGE.title, "a", "c", "root", 0, 4)
    assert place(cited) == "a?[31m:x:.txt"


def found(number: int, document: str, text: str) -> Passage:
    chunk = Chunk(f"c{number}", number, text, heading_path=("Rules",), pages=(number,))
    return Passage(chunk, document, 1, document.title(), f"/{document}", 1.0 - number / 10)


FOUND = (
    found(1, "leave", "Leave is 28 days. " * 20),
    found(2, "leave", "Second of the same document."),
    found(3, "travel", "Taxis are\npaid."),
    found(4, "badges", "Badges are \x1b yellow."),
    found(5, "dogs", "Dogs stay outside."),
)


def evidence(capsys: pytest.CaptureFixture[str], outcome: Outcome, *, sources: bool = False) -> str:
    cost = Cost(0.0, "EUR", 0.0, "measured")
    show_evidence(Answer("Text.", outcome, Tier.EXTRACT, (), FOUND, Usage(), cost), sources=sources)
    return capsys.readouterr().out


def test_of_a_declined_question_the_nearest_passage_of_three_documents_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = evidence(capsys, Outcome.NOT_FOUND)
    assert told.count("nearest:") == 3
    assert "nearest: Leave, page 1, Rules" in told and "nearest: Badges, page 4, Rules" in told
    assert "    Taxis are paid.\n" in told and "Second of the same" not in told and "Dogs" not in told
    clipped = next(line for line in told.splitlines() if line.startswith("    Leave"))
    assert clipped.endswith("…") and len(clipped) <= 4 + 200 + 1
    assert "\x1b" not in told


def test_an_answer_and_a_list_of_all_sources_have_no_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nearest:" not in evidence(capsys, Outcome.QUOTED)
    assert "nearest:" not in evidence(capsys, Outcome.NOT_FOUND, sources=True)
