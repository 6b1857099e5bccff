"""`rag eval retrieval` and `answers` whole: a corpus in a home of its own, the real index, no model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from rag.answering.sentences import sentences
from rag.cli import app
from rag.errors import WorkerDied
from rag.evaluation.answers import answer_all, judged
from rag.evaluation.benchmark import Item, Row, read_benchmark
from rag.evaluation.desk import patiently
from rag.evaluation.library import Library, budget_of, by_document, cut, opened
from rag.evaluation.record import Asked, Record
from rag.evaluation.retrieval import search_all
from rag.settings import Settings
from rag.types import Answer, Citation, Cost, Outcome, Passage, Tier, Usage

Desk = tuple[asyncio.Runner, Library]


@pytest.fixture(scope="module")
def desk(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    with asyncio.Runner() as runner:
        library = opened(settings, read_benchmark(dataset))
        entered = runner.run(library.__aenter__())
        try:
            yield runner, entered
        finally:
            runner.run(library.__aexit__(None, None, None))


def test_every_question_is_searched_and_its_row_is_found(desk: Desk, dataset: Path) -> None:
    runner, library = desk

    async def search() -> list[Asked]:
        return [one async for one in search_all(library, read_benchmark(dataset).items)]

    found = runner.run(search())
    assert [one.id for one in found] == ["q1", "q2", "q3"], "without a relevant row there is nothing to find"
    for one in found:
        assert one.scores["hit@1"] == one.scores["recall@10"] == one.scores["ndcg@10"] == 1.0
        assert one.passages[0].relevant and one.scores["seconds"] > 0 and "all@10" not in one.scores


def test_answers_are_judged_by_what_is_said_declined_and_cited(desk: Desk, dataset: Path) -> None:
    runner, library = desk

    async def ask() -> list[Asked]:
        return [one async for one in answer_all(library, read_benchmark(dataset).items, Tier.EXTRACT)]

    found = {one.id: one for one in runner.run(ask())}
    assert [one.scores["right"] for one in found.values()] == [1.0] * 4
    for key in ("q1", "q2", "q3"):
        scores = found[key].scores
        assert scores["grounded"] == scores["answered"] == scores["citation recall"] == 1.0
        assert scores["em"] == 0.0 < scores["f1"] < 1.0, "a quote is longer than the gold answer"
        assert scores["cost"] > 0 and scores["seconds"] >= scores["first word"] > 0
    assert found["q1"].scores["numeric"] == 1.0 and "contains" not in found["q1"].scores
    assert found["q2"].scores["cites the answer"] == found["q2"].scores["contains"] == 1.0
    assert found["q4"].outcome == Outcome.NOT_FOUND
    assert found["q4"].scores["declined"] == found["q4"].scores["rightly declined"] == 1.0
    assert "citation precision" not in found["q4"].scores


@pytest.fixture
def passages(desk: Desk) -> list[Passage]:
    runner, library = desk
    system = library.system
    return runner.run(system.retriever.search("paid leave and hotel nights", system.principal))


def said(text: str, outcome: Outcome, passages: list[Passage], *cited: Passage) -> Answer:
    citations = tuple(
        Citation(n, one.document_id, one.title, one.uri, one.chunk.id, one.chunk.text, 0, len(one.chunk.text))
        for n, one in enumerate(cited, 1)
    )
    cost = Cost(0.1, "EUR", 1.0, "estimate")
    return Answer(text, outcome, Tier.SMALL, citations, tuple(passages), Usage(), cost)


def of_row(library: Library, passages: list[Passage], row: str) -> Passage:
    return next(one for one in passages if library.row(one) == row)


def test_a_sentence_that_its_source_does_not_support_is_not_grounded(
    desk: Desk, passages: list[Passage]
) -> None:
    _, library = desk
    leave = of_row(library, passages, "leave")
    item = Item("q", "How many days?", {"leave": 1}, ("28",))
    text = "Employees of Nordwind Tools have 28 days of paid leave a year. [1]"
    assert judged(library, item, said(text, Outcome.ANSWERED, passages, leave))["grounded"] == 1.0
    mixed = f"{text} Employees of Nordwind Tools have 30 days of paid leave a year. [1]"
    assert judged(library, item, said(mixed, Outcome.ANSWERED, passages, leave))["grounded"] == 0.5
    quoted = said("…", Outcome.QUOTED, passages, leave)
    forged = replace(quoted, citations=(replace(quoted.citations[0], quote="30 days"),))
    assert judged(library, item, quoted)["grounded"] == 1.0
    assert judged(library, item, forged)["grounded"] == 0.0


def test_citations_have_precision_and_recall(desk: Desk, passages: list[Passage]) -> None:
    _, library = desk
    cited = [of_row(library, passages, row) for row in ("leave", "kitchen")]
    item = Item("q", "How many days?", {"leave": 1, "travel": 1}, ("28 days",))
    scores = judged(library, item, said("28 days [1] [2]", Outcome.QUOTED, passages, *cited))
    assert scores["citation precision"] == scores["citation recall"] == 0.5
    assert scores["cites the answer"] == scores["contains"] == 1.0


def test_declining_an_answerable_question_is_wrong_and_an_answer_to_the_other_too(
    desk: Desk, passages: list[Passage]
) -> None:
    _, library = desk
    answerable, unanswerable = Item("a", "?", answers=("28",)), Item("b", "?", answerable=False)
    refused = said("The documents do not say.", Outcome.NOT_FOUND, passages)
    scores = judged(library, answerable, refused)
    assert scores["right"] == scores["answered"] == scores["rightly declined"] == scores["f1"] == 0.0
    made_up = said("28 days [1]", Outcome.QUOTED, passages, passages[0])
    assert judged(library, unanswerable, made_up) == {"right": 0.0, "declined": 0.0}


def test_rows_of_one_title_are_one_document_and_rows_without_stand_alone() -> None:
    rows = [Row("a", "T", "1"), Row("b", "", "2"), Row("c", "T", "3"), Row("d", "", "4")]
    grouped = [[row.id for row in group] for _, group in by_document(rows)]
    assert sorted(grouped) == [["a", "c"], ["b"], ["d"]]


def test_a_long_row_is_cut_between_sentences_into_what_the_embedder_reads(tmp_path: Path) -> None:
    budget = budget_of(Settings(home=tmp_path))
    row = Row(
        "a", "Report", " ".join(f"Sentence number {n} tells of nothing in particular." for n in range(120))
    )
    pieces = cut(row, budget)
    assert "".join(pieces) == row.text and len(pieces) > 3
    assert max(budget.counter.count(pieces)) <= budget.tokens
    assert sum(len(sentences(piece)) for piece in pieces) == 120
    assert cut(Row("b", "", "Short."), budget) == ["Short."]


def test_a_child_that_died_is_asked_again_and_not_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    failures = [WorkerDied("gone"), WorkerDied("gone again")]

    async def ask() -> str:
        if failures:
            raise failures.pop()
        return "answer"

    assert asyncio.run(patiently(ask)) == "answer" and "asked again: gone" in capsys.readouterr().err
    failures += [WorkerDied("gone")] * 3
    with pytest.raises(WorkerDied):
        asyncio.run(patiently(ask))


def run(home: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), "eval", *map(str, arguments)])


def test_the_command_reports_compares_and_ends_with_the_status_that_ci_reads(
    dataset: Path, tmp_path: Path
) -> None:
    out, xml, html = tmp_path / "run.json", tmp_path / "run.xml", tmp_path / "run.html"
    reports = ("--out", out, "--junit", xml, "--html", html)
    done = run(tmp_path / "home", "retrieval", "--dataset", dataset, *reports, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["measures"]["ndcg@10"]["mean"] == 1.0 and told["measures"]["ndcg@10"]["count"] == 3
    record = Record.load(out)
    assert record.bound["dataset"] == read_benchmark(dataset).sha256 and record.kind == "retrieval"
    assert ElementTree.parse(xml).getroot().get("failures") == "0" and "nordwind" in html.read_text()
    assert not list((tmp_path / "home").glob("*.db")), "the corpus does not get into the home"

    done = run(tmp_path / "home", "retrieval", "--dataset", dataset, "--baseline", out, "--limit", "2")
    assert done.exit_code == 0, done.output
    shown = " ".join(done.stdout.split())
    assert "before now worse by p n" in shown and "nDCG@10 1 1 +0.0000 [+0.0000, +0.0000] 1.000" in shown
    assert f"questions of {dataset.name} · dataset {record.bound['dataset'][:12]} · model" in shown


def test_what_cannot_be_measured_ends_with_two(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "Why?"}\n')
    done = run(tmp_path / "home", "retrieval", "--dataset", tmp_path)
    assert done.exit_code == 2 and "has no corpus.jsonl" in done.output
    (tmp_path / "run.json").write_text("{}")
    done = run(tmp_path / "home", "answers", "--dataset", dataset, "--baseline", tmp_path / "run.json")
    assert done.exit_code == 2 and "is no record" in done.output
    done = run(tmp_path / "home", "retrieval", "--dataset", dataset, "--collection", "moon")
    assert done.exit_code == 2 and "no collection 'moon'" in done.output


def test_a_collection_is_asked_by_the_names_of_its_files(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for row in read_benchmark(dataset).rows:
        (folder / f"{row.id}.txt").write_text(row.text)
    home = tmp_path / "home"
    assert CliRunner().invoke(app, ["--home", str(home), "ingest", str(folder)]).exit_code == 0
    done = run(home, "retrieval", "--dataset", dataset, "--collection", "default", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["measures"]["hit@1"]["mean"] == 1.0
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "Why?"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\tmoon\t1\n")
    done = run(home, "retrieval", "--dataset", tmp_path, "--collection", "default")
    assert done.exit_code == 2 and "names a document of collection 'default': 'moon'" in done.output
