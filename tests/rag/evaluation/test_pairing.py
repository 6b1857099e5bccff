"""Two models over the same passages: what counts as right and wrong, and the whole command once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag.cli import app
from rag.evaluation.benchmark import Item
from rag.evaluation.pairing import Frozen, judged
from rag.models.gates import FILE, Binding, results
from rag.models.lockfile import entry
from rag.settings import EngineSettings, Settings
from rag.types import Chunk, Passage

TEXT = "Employees of Nordwind Tools have 28 days of paid leave a year. They are not paid for overtime."
PASSAGE = Passage(Chunk("leave", 0, TEXT), "d", 1, "Leave", "/leave.md", 0.9)


def frozen(answer: str = "28", **more: object) -> Frozen:
    item = Item("q", "How many days of paid leave?", {"leave": 1}, (answer,), **more)  # type: ignore[arg-type]
    return Frozen(item, item.question, (PASSAGE,), (TEXT,))


def test_a_sentence_of_the_passage_is_right_and_has_no_error() -> None:
    said = judged(frozen(), "Employees of Nordwind Tools have 28 days of paid leave a year.", ended=True)
    assert said.right and not (said.malformed or said.uncitable or said.false_fact)


def test_another_number_or_a_lost_negation_is_a_false_fact_that_cannot_be_cited() -> None:
    for text in (
        "Employees of Nordwind Tools have 30 days of paid leave a year.",
        "Employees of Nordwind Tools have no 28 days of paid leave a year.",
    ):
        said = judged(frozen(), text, ended=True)
        assert said.false_fact and said.uncitable and not said.malformed


def test_nothing_and_an_unfinished_sentence_are_malformed() -> None:
    assert judged(frozen(), "", ended=True).malformed
    cut_off = judged(frozen(), "Employees of Nordwind Tools have 28", ended=False)
    assert cut_off.malformed and cut_off.right, "right and malformed are counted apart"


def test_a_number_a_date_and_a_negation_make_a_question_critical() -> None:
    assert frozen("28 days").is_critical and frozen("May 1998").is_critical and frozen("not paid").is_critical
    assert not frozen("Karl Brandt").is_critical


def test_questions_about_one_row_are_one_cluster() -> None:
    assert frozen().cluster == "leave"


@pytest.mark.model
@pytest.mark.slow
def test_a_model_beside_itself_changes_nothing_and_three_questions_prove_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "smollm2-135m-instruct"
    monkeypatch.setenv("RAG_ENGINE_TUNE", "false")
    monkeypatch.setenv("RAG_ENGINE_CONTEXT", "1024")
    out = tmp_path / "pairs.json"
    command = ["--home", str(tmp_path / "home"), "eval", "quantisation", "--dataset", str(dataset)]
    options = ["--reference", name, "--candidate", name, "--profile", "standard", "--out", str(out), "--json"]
    done = CliRunner().invoke(app, [*command, *options])
    assert done.exit_code == 2, done.output
    told = json.loads(done.stdout)
    assert told["verdict"] == "NOT PROVEN" and told["measured"]["flips"] == 0.0
    assert "3 questions are fewer than 950; " in "; ".join(told["reasons"])
    assert "the reference is Q4_1 itself" in "; ".join(told["reasons"])
    pairs = json.loads(out.read_text())["pairs"]
    assert [pair["reference"] for pair in pairs] == [pair["candidate"] for pair in pairs]
    assert all(pair["reference"]["text"] for pair in pairs) and pairs[0]["critical"]
    home = tmp_path / "home"
    engine = EngineSettings(tune=False, context=1024)
    settings = Settings(home=home, engine=engine)
    assert (home / FILE).exists() and len(results(home, Binding.of(entry(name), settings))) == 1


def test_a_model_elsewhere_is_not_measured(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ENGINE_URL", "http://localhost:1")
    name = "smollm2-135m-instruct"
    command = [
        "--home",
        str(tmp_path),
        "eval",
        "quantisation",
        "--dataset",
        str(dataset),
        "--reference",
        name,
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 and "only models that run here" in done.output
