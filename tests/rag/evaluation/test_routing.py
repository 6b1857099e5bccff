"""Kinds told apart, and what a dearer tier buys: the arithmetic, and the command from file to weights."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from rag.cli import app
from rag.errors import BadRequest
from rag.evaluation.routing import (
    Compared,
    Labelled,
    checked,
    curve,
    folds,
    held_out,
    macro_f1,
    read,
    scores,
    told_kind,
)
from rag.routing.regression import Regression
from rag.routing.router import NUMBERS, Router
from rag.settings import RoutingSettings

PATIENT = settings(deadline=None)  # other work on the machine is no failure

runner = CliRunner()
FOUR = [Compared(1, 1), Compared(0, 1), Compared(0, 1), Compared(1, 0)]


def test_a_need_that_knows_buys_the_quality_with_the_fewest_calls() -> None:
    drawn = curve(FOUR, [0.3, 0.9, 0.8, 0.1])
    assert [(point.strong, point.quality) for point in drawn.points] == [
        (0.0, 0.5),
        (0.25, 0.75),
        (0.5, 1.0),
        (0.75, 1.0),
        (1.0, 0.75),
    ]
    cheapest = drawn.cheapest(1.0)
    assert (cheapest.strong, cheapest.threshold) == (
        0.25,
        0.9,
    )  # the dear tier alone is right in three of four
    assert drawn.by_chance(0.5) == pytest.approx(0.625)


def test_a_budget_buys_the_best_quality_within_it() -> None:
    drawn = curve(FOUR, [0.3, 0.9, 0.8, 0.1])
    assert drawn.best(0.6).quality == 1.0
    assert drawn.best(0.3).quality == 0.75
    with pytest.raises(BadRequest, match="the cheap tier alone costs 0"):
        drawn.best(-1)


def test_questions_of_equal_need_are_sent_together() -> None:
    drawn = curve(FOUR, [0.5, 0.5, 0.5, 0.1])
    assert [point.strong for point in drawn.points] == [0.0, 0.75, 1.0]


@PATIENT
@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.floats(0, 1), st.floats(0, 9)), min_size=1, max_size=40
    )
)
def test_every_curve_runs_from_the_cheap_tier_to_the_dear_one(
    rows: list[tuple[bool, bool, float, float]],
) -> None:
    compared = [Compared(weak, strong, 1.0, cost) for weak, strong, _, cost in rows]
    drawn = curve(compared, [need for *_, need, _ in rows])
    count = len(rows)
    assert drawn.weak.quality == sum(weak for weak, *_ in rows) / count
    assert drawn.strong.quality == pytest.approx(sum(strong for _, strong, *_ in rows) / count)
    assert drawn.strong.cost == pytest.approx(sum(cost for *_, cost in rows) / count)
    assert [point.strong for point in drawn.points] == sorted({point.strong for point in drawn.points})


def test_a_threshold_is_checked_on_questions_it_was_not_chosen_on() -> None:
    random = Random(1)
    rows = [Compared(float(random.random() > 0.5), 1.0) for _ in range(200)]
    perfect = checked(rows, [1 - row.weak + random.random() / 10 for row in rows], 1.0, seed=1)
    assert perfect.quality >= 0.97
    assert 0.4 < perfect.strong < 0.6


def test_folds_hold_every_label_alike() -> None:
    labels = ["a"] * 10 + ["b"] * 5
    found = folds(labels, 5, seed=1)
    assert [found[:10].count(number) for number in range(5)] == [2] * 5
    assert sorted(found[10:]) == [0, 1, 2, 3, 4]


def test_a_question_is_held_out_always_or_never() -> None:
    texts = [f"question {number}" for number in range(1000)]
    out = [held_out(text, 0.5) for text in texts]
    assert 400 < sum(out) < 600
    assert out == [held_out(text, 0.5) for text in texts]
    assert not any(held_out(text, 0.0) for text in texts)


def test_scores_count_right_and_wrong() -> None:
    found = scores(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    assert [(one.label, one.precision, one.recall) for one in found] == [("a", 1.0, 0.5), ("b", 2 / 3, 1.0)]
    assert macro_f1(found) == pytest.approx((2 / 3 + 0.8) / 2)


def test_a_kind_in_a_conversation_is_what_the_router_sees() -> None:
    chances = {"multi_hop": 0.6, "chitchat": 0.4}
    assert told_kind(chances, Labelled("?", "follow_up", in_conversation=True)) == "follow_up"
    assert told_kind(chances, Labelled("?", "multi_hop")) == "multi_hop"


@pytest.mark.parametrize("text", ["", "{}\n", '{"text": "a", "label": "cat"}\n', "nonsense\n"])
def test_a_file_of_another_form_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text(text)
    with pytest.raises(BadRequest, match=r"lines\.jsonl"):
        read(file)


def recorded(file: Path, count: int = 300) -> Path:
    """Decisions with what became of them: long questions needed more, and were not cheap."""
    random, lines = Random(7), []
    for _ in range(count):
        signals = {name: random.random() for name in NUMBERS} | {"words": float(random.randint(3, 40))}
        small = float(signals["words"] + random.gauss(0, 3) < 20)
        outcomes = {"small": {"quality": small, "cost": 0.01}, "large": {"quality": 1.0, "cost": 0.05}}
        lines.append(json.dumps({"signals": signals, "outcomes": outcomes}))
    file.write_text("\n".join([*lines, json.dumps({"signals": {}, "outcomes": {"small": {"quality": 1}}})]))
    return file


def test_recorded_decisions_give_a_curve_a_threshold_and_weights_that_the_router_takes(
    tmp_path: Path,
) -> None:
    file, weights, html = recorded(tmp_path / "r.jsonl"), tmp_path / "need.json", tmp_path / "curve.html"
    given = ["eval", "routing", str(file), "--train", str(weights), "--html", str(html), "--json"]
    told = json.loads(runner.invoke(app, given, catch_exceptions=False).stdout)
    chosen = told["chosen"]["cheapest with 95% of the quality"]
    assert chosen["quality"] >= 0.95 and 0.3 < chosen["strong"] < 0.6
    assert chosen["cost"] == pytest.approx(0.01 + 0.04 * chosen["strong"])
    need = Regression.load(weights)
    assert need.about["threshold"] == chosen["threshold"]
    assert Router(("extract", "small", "large"), "small", RoutingSettings(), need=need).need is need
    page = html.read_text()
    assert "<polyline" in page and "<script" not in page


def test_a_cost_instead_of_a_quality_picks_the_best_for_it(tmp_path: Path) -> None:
    file = recorded(tmp_path / "r.jsonl")
    given = ["eval", "routing", str(file), "--cost", "0.02", "--json"]
    told = json.loads(runner.invoke(app, given, catch_exceptions=False).stdout)
    assert told["chosen"]["best for 0.02 a question"]["cost"] <= 0.02


def test_labels_give_f1_by_kind_and_weights(tmp_path: Path) -> None:
    random, file, weights = Random(3), tmp_path / "labels.jsonl", tmp_path / "triage.json"
    towns = ["Ulm", "Kiel", "Bonn", "Jena", "Worms", "Trier"]
    with file.open("w") as lines:
        for number in range(60):
            town = random.choice(towns)
            for text, label in (
                (f"hello, how are you today my friend {number}?", "chitchat"),
                (f"When was the bridge of {town} built, number {number}?", "simple_lookup"),
                (
                    f"What is the percentage change in sales of {town} from 2018 to 2019, {number}?",
                    "table_calculation",
                ),
            ):
                lines.write(json.dumps({"text": text, "label": label}) + "\n")
    given = ["eval", "routing", str(file), "--words-only", "--train", str(weights)]
    shown = runner.invoke(app, given, catch_exceptions=False).stdout
    assert "macro" in shown and "table_calculation" in shown
    trained = Regression.load(weights)
    assert trained.labels == ("chitchat", "simple_lookup", "table_calculation")
    assert trained.about["macro_f1"] > 0.95


def test_sizes_are_measured_but_no_weights_are_trained_on_their_text(tmp_path: Path) -> None:
    file = tmp_path / "sizes.jsonl"
    rows = [{"text": f"question {n}", "weak_correct": n % 2 == 0, "strong_correct": True} for n in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    result = runner.invoke(app, ["eval", "routing", str(file), "--words-only"], catch_exceptions=False)
    assert "cheapest with 95% of" in result.stdout
    with pytest.raises(BadRequest, match="recorded decisions"):
        runner.invoke(
            app,
            ["eval", "routing", str(file), "--words-only", "--train", str(tmp_path / "w.json")],
            catch_exceptions=False,
        )


def test_a_file_in_which_all_are_alike_teaches_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sizes.jsonl"
    file.write_text('{"text": "a", "weak_correct": true, "strong_correct": true}\n' * 20)
    with pytest.raises(BadRequest, match="nothing can be learned"):
        runner.invoke(app, ["eval", "routing", str(file), "--words-only"], catch_exceptions=False)
