"""A small data set in BEIR's form, written for the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CORPUS = {
    "leave": ("Leave", "Employees of Nordwind Tools have 28 days of paid leave a year."),
    "travel": ("Travel policy", "A hotel night is paid up to 140 euros in Germany."),
    "receipts": ("Travel policy", "Receipts must be filed within 30 days. Taxis are not reimbursed."),
    "history": ("History", "Nordwind Tools was founded by Karl Brandt in 1998."),
    "kitchen": ("", "The coffee machine is cleaned every Friday by whoever made the last cup."),
}
QUESTIONS = (
    ("q1", "How many days of paid leave do employees of Nordwind Tools have?", "leave", "28", "numeric"),
    ("q2", "Up to how many euros is a hotel night paid in Germany?", "travel", "140 euros", "em_f1"),
    ("q3", "Who founded Nordwind Tools?", "history", "Karl Brandt", "em_f1"),
    ("q4", "What is the airspeed of an unladen swallow over Madagascar?", "", "", "abstain"),
)


def write(folder: Path, name: str, objects: list[dict[str, object]]) -> None:
    (folder / name).write_text("".join(json.dumps(each) + "\n" for each in objects), "utf-8")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nordwind")
    corpus = [{"_id": key, "title": title, "text": text} for key, (title, text) in CORPUS.items()]
    write(folder, "corpus.jsonl", corpus)  # type: ignore[arg-type]
    write(folder, "queries.jsonl", [{"_id": key, "text": text} for key, text, *_ in QUESTIONS])
    answers = [
        {"_id": key, "answers": [gold] if gold else [], "answerable": bool(gold), "scoring": scoring}
        for key, _, _, gold, scoring in QUESTIONS
    ]
    write(folder, "answers.jsonl", answers)  # type: ignore[arg-type]
    rows = "".join(f"{key}\t{row}\t1\n" for key, _, row, _, _ in QUESTIONS if row)
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder
