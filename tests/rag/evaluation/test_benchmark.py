"""Data sets in BEIR's form: what is read of them, and which line is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.errors import BadRequest
from rag.evaluation.benchmark import Item, Row, read_benchmark
from rag.types import Message

QUERIES = [
    {"_id": "q1", "text": "How many days of leave?", "metadata": {"lang": "en", "type": "fact"}},
    {
        "_id": "q2",
        "text": "And for parents?",
        "metadata": {
            "history": [{"role": "user", "text": "How many days?"}, {"role": "agent", "text": "28."}]
        },
    },
]
CORPUS = [{"_id": "leave", "title": "Leave", "text": "28 days."}, {"_id": "parents", "text": "33 days."}]
ANSWERS = [{"_id": "q1", "answers": ["28", "28 days"], "scoring": "numeric", "scale": "", "answerable": True}]


def write(folder: Path, name: str, lines: list[dict[str, object]]) -> None:
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "queries.jsonl", QUERIES)  # type: ignore[arg-type]
    write(tmp_path, "corpus.jsonl", CORPUS)  # type: ignore[arg-type]
    write(tmp_path, "answers.jsonl", ANSWERS)
    (tmp_path / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\tleave\t2\nq1\tparents\t0\nq2\tparents\t1\n"
    )
    return tmp_path


def test_questions_come_with_grades_answers_and_history(folder: Path) -> None:
    found = read_benchmark(folder)
    assert found.rows == (Row("leave", "Leave", "28 days."), Row("parents", "", "33 days."))
    first, second = found.items
    assert first == Item(
        "q1",
        "How many days of leave?",
        {"leave": 2},
        ("28", "28 days"),
        scoring="numeric",
        language="en",
        kind="fact",
    )
    assert second.history == (Message("user", "How many days?"), Message("assistant", "28."))
    assert second.relevant == {"parents": 1} and second.answerable


def test_the_digest_is_that_of_every_file(folder: Path) -> None:
    before = read_benchmark(folder).sha256
    assert read_benchmark(folder).sha256 == before
    (folder / "answers.jsonl").unlink()
    assert read_benchmark(folder).sha256 != before


def test_without_qrels_the_gold_ids_of_answers_count(folder: Path) -> None:
    (folder / "qrels.tsv").unlink()
    write(folder, "answers.jsonl", [{"_id": "q1", "gold_ids": ["leave"]}])
    assert read_benchmark(folder).items[0].relevant == {"leave": 1}


def test_a_limit_draws_the_same_questions_again(folder: Path) -> None:
    many = [{"_id": str(n), "text": f"Question {n}?"} for n in range(50)]
    write(folder, "queries.jsonl", many)
    found = read_benchmark(folder)
    drawn = [item.id for item in found.chosen(10, 4).items]
    assert drawn == [item.id for item in found.chosen(10, 4).items] == sorted(drawn, key=int)
    assert len(drawn) == 10 and drawn != [item.id for item in found.chosen(10, 5).items]
    assert found.chosen(None, 4) is found


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("queries.jsonl", '{"_id": "q1"}', r"queries\.jsonl, line 1: text is None"),
        ("queries.jsonl", "\n[]", r"queries\.jsonl, line 2: no JSON object with an _id"),
        ("queries.jsonl", "{", r"line 1: not JSON"),
        ("queries.jsonl", "", "holds no question"),
        ("corpus.jsonl", '{"_id": "leave", "text": " "}', r"corpus\.jsonl, line 1: text is ' '"),
        ("qrels.tsv", "head\nq1\tleave\n", r"qrels\.tsv, line 2: .* is not query-id, corpus-id and grade"),
        ("qrels.tsv", "head\nq1\tmoon\t1\n", "names 'moon', which is not in corpus"),
        ("answers.jsonl", '{"_id": "q1", "scoring": "taste"}', "scoring is 'taste'; have em_f1"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, name: str, text: str, problem: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(BadRequest, match=problem):
        read_benchmark(folder)


def test_a_folder_without_questions_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"queries\.jsonl cannot be read"):
        read_benchmark(tmp_path)
