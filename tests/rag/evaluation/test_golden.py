"""Questions about one's own documents: what rules ask, and what a person makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag.cli import app
from rag.errors import BadRequest
from rag.evaluation.asking import proposals
from rag.evaluation.benchmark import read_benchmark
from rag.evaluation.golden import REVIEW, Golden, Status, decided, load, merged, save


def asked(text: str, title: str = "") -> list[tuple[str, str, str]]:
    return [(one.question, one.answer, one.rule) for one in proposals(text, title)]


@pytest.mark.parametrize(
    ("sentence", "question", "answer", "rule"),
    [
        (
            "The staff of Nordwind has 28 days of leave a year.",
            "How many days of leave a year does the staff of Nordwind have?",
            "28 days",
            "have",
        ),
        (
            "A hotel night is paid up to 140 euros in Germany.",
            "Up to how many euros is a hotel night paid in Germany?",
            "140 euros",
            "be",
        ),
        (
            "The receipts must be filed within 30 days of the journey.",
            "Within how many days must the receipts be filed of the journey?",
            "30 days",
            "within",
        ),
        (
            "Nordwind Tools was founded by Karl Brandt in 1998.",
            "By whom was Nordwind Tools founded in 1998?",
            "Karl Brandt",
            "by whom",
        ),
        (
            "The first workshop was built of brick in May 1998.",
            "When was the first workshop built of brick?",
            "May 1998",
            "when",
        ),
        (
            "The discount is 12 % for members.",
            "How many percent is the discount for members?",
            "12 %",
            "percent",
        ),
    ],
)
def test_a_sentence_is_turned_around_its_fact(sentence: str, question: str, answer: str, rule: str) -> None:
    assert asked(sentence) == [(question, answer, rule)]
    (one,) = proposals(sentence)
    assert one.sentence == sentence and one.answer in one.sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "It has 28 days of leave a year.",  # who?
        "They were founded by Karl Brandt in 1998.",
        "The press is loud and old and hot.",  # no fact
        "There are 14 benches in the lab.",
        "Rooms cost 5 and more each night.",  # no noun counted
        "Has 5 rooms.",
    ],
)
def test_a_sentence_that_does_not_stand_for_itself_or_states_no_fact_is_left_alone(sentence: str) -> None:
    assert asked(sentence) == []


def test_rows_of_a_table_are_asked_by_the_names_of_row_and_column() -> None:
    table = "| Item | 2022 | Note |\n|---|---|---|\n| Revenue | $5.1 | good |\n| Rent | unknown | bad |"
    assert asked(table, "Report") == [("What is 2022 for Revenue (Report)?", "$5.1", "table")]


def golden(number: int, status: Status = Status.PROPOSED) -> Golden:
    return Golden(f"g{number}", f"Question {number}?", "28", f"/doc{number}.md", "T", "28.", "have", status)


def test_only_accepted_questions_become_the_data_set(tmp_path: Path) -> None:
    everything = [golden(1, Status.ACCEPTED), golden(2), golden(3, Status.REJECTED)]
    save(tmp_path, everything)
    assert load(tmp_path) == everything
    (item,) = read_benchmark(tmp_path).items
    assert (item.id, item.answers, item.relevant) == ("g1", ("28",), {"/doc1.md": 1})


def test_what_a_person_said_stays_when_more_is_proposed() -> None:
    known = [golden(1, Status.REJECTED)]
    assert merged(known, [golden(1), golden(2)]) == [golden(1, Status.REJECTED), golden(2)]
    better = decided(golden(1), Status.ACCEPTED, question="Better?")
    assert (better.question, better.answer, better.status) == ("Better?", "28", Status.ACCEPTED)


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / REVIEW).write_text('\n{"id": "x", "status": "proposed"}\n')
    with pytest.raises(BadRequest, match=r"review\.jsonl, line 2"):
        load(tmp_path)


def test_from_documents_to_a_reviewed_set_that_can_be_evaluated(tmp_path: Path) -> None:
    folder, home, out = tmp_path / "documents", tmp_path / "home", tmp_path / "golden"
    folder.mkdir()
    (folder / "travel.md").write_text("# Travel\n\nA hotel night is paid up to 140 euros in Germany.\n")
    (folder / "history.md").write_text("# History\n\nNordwind Tools was founded by Karl Brandt in 1998.\n")
    (folder / "leave.md").write_text("# Leave\n\nThe staff of Nordwind has 28 days of leave a year.\n")
    (folder / "story.md").write_text("# Story\n\nOnce upon a time nothing could be counted.\n")

    def rag(*arguments: str, say: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(app, ["--home", str(home), *arguments], input=say)
        return done.exit_code, done.output

    assert rag("ingest", str(folder))[0] == 0
    status, told = rag("eval", "make-golden", "--out", str(out), "-n", "10")
    assert (status, len(load(out))) == (0, 3) and "3 new questions" in told
    assert "0 new questions" in rag("eval", "make-golden", "--out", str(out))[1]

    status, told = rag("eval", "review", str(out), say="a\nx\nr\ne\nWas it better?\n\n")
    assert status == 0 and "2 accepted, 1 rejected" in told
    assert [one.status for one in load(out)] == [Status.ACCEPTED, Status.REJECTED, Status.ACCEPTED]
    assert load(out)[2].question == "Was it better?"
    assert rag("eval", "review", str(out))[1] == "0 proposed, 2 accepted, 1 rejected\n"

    dataset = ("--dataset", str(out), "--collection", "default", "--json")
    status, told = rag("eval", "retrieval", *dataset)
    measures = json.loads(told[told.index("{\n") :])["measures"]
    assert status == 0 and measures["recall@10"]["count"] == 2
