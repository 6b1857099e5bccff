"""The sample handbook, as `make demo` uses it: what is asked is answered, what is not there is declined."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.sdk import Rag
from rag.types import Answer, Outcome

DATA = Path(__file__).resolve().parents[1] / "data"
QUESTIONS = [json.loads(line) for line in (DATA / "handbook_questions.jsonl").read_text().splitlines()]
DEMO = [each for each in QUESTIONS if each.get("demo")]


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rag]:
    with Rag.open(tmp_path_factory.mktemp("home") / "kb", engine={"tune": False}) as rag:
        summary = rag.ingest(DATA / "handbook")
        unread = [uri for uri, _ in summary.quarantined]
        scan = "fire-drill-record-2025.pdf"
        assert all(uri.endswith(scan) for uri in unread)
        assert bool(unread) is not bool(shutil.which("tesseract"))
        yield rag


def fits(question: dict[str, Any], answer: Answer) -> bool:
    """Whether an answer is what the question's line expects."""
    if question["expect"] == "not_found":
        return answer.outcome is Outcome.NOT_FOUND
    shown = " ".join([answer.text, *(citation.quote for citation in answer.citations)])
    return answer.outcome is not Outcome.NOT_FOUND and any(each in shown for each in question["contains"])


def test_the_demo_asks_the_questions_that_are_marked_so() -> None:
    asked = (DATA / "handbook_demo.txt").read_text().splitlines()
    assert asked == [each["question"] for each in DEMO]


@pytest.mark.model
@pytest.mark.parametrize("question", DEMO, ids=lambda each: each["expect"])
def test_the_demo_questions_are_answered_by_the_bundled_model(
    handbook: Rag, question: dict[str, Any]
) -> None:
    answer = handbook.ask(question["question"])
    assert fits(question, answer), answer.text
    if question["expect"] != "not_found":
        assert answer.citations[0].uri.endswith(question["document"])
        assert not question.get("page") or answer.citations[0].page == question["page"]


def test_the_newer_of_two_versions_comes_first(handbook: Rag) -> None:
    for question in (each for each in QUESTIONS if each["expect"] == "conflict"):
        answer = handbook.ask(question["question"], tier="extract")
        assert fits(question, answer), answer.text
        first = answer.text.split("\n")[0]
        assert not any(each in first for each in question["outdated"]), answer.text


def test_nine_of_ten_questions_about_the_handbook_come_out_right(handbook: Rag) -> None:
    asked = [each for each in QUESTIONS if not each.get("ocr") or shutil.which("tesseract")]
    wrong = [
        each["question"] for each in asked if not fits(each, handbook.ask(each["question"], tier="extract"))
    ]
    assert len(wrong) <= len(asked) // 10, wrong
