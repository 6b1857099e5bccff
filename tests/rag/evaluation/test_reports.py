"""Records, comparisons and what is written of them: JSON, JUnit XML, a page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rag.errors import BadRequest
from rag.evaluation.charts import Bin, calibration_error, histogram, reliability
from rag.evaluation.comparison import changes
from rag.evaluation.junit import junit
from rag.evaluation.page import page
from rag.evaluation.record import Asked, Record, Shown

PASSAGE = Shown("leave", "Leave <script>alert(1)</script>", "28 & more", 0.5, True)


def asked(number: int, *, right: float = 1.0, ndcg: float = 1.0, seconds: float = 0.1) -> Asked:
    scores = {"right": right, "ndcg@10": ndcg, "seconds": seconds}
    return Asked(
        str(number), f"Question {number}?", scores, ("28",), "28 days [1]", "quoted", passages=(PASSAGE,)
    )


def record(*found: Asked, kind: str = "answers") -> Record:
    return Record(kind, "handbook", {"dataset": "d" * 64, "model": "m" * 64}, found, currency="EUR")


GOOD = record(*(asked(n) for n in range(100)))
SLOWER = record(*(asked(n, seconds=9.0) for n in range(100)))
WORSE = record(*(asked(n, right=float(n >= 15), ndcg=0.99) for n in range(100)))


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    WORSE.save(tmp_path / "runs" / "run.json")
    assert Record.load(tmp_path / "runs" / "run.json") == WORSE


@pytest.mark.parametrize(
    "text", ["", "[]", '{"form": 0}', '{"form": 1, "asked": [], "measures": {}, "x": 1}']
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BadRequest, match=r"is no record of `rag eval --out`"):
        Record.load(tmp_path / "run.json")


def test_a_real_drop_beyond_the_margin_is_worse_and_a_small_one_is_not() -> None:
    found = {change.name: change for change in changes(WORSE, GOOD, 0.02)}
    right = found["right"]
    assert right.is_worse and (right.lost, right.won) == (15, 0) and right.p == pytest.approx(2 * 0.5**15)
    assert right.drop.mean == pytest.approx(0.15) and (right.before, right.now) == (1.0, 0.85)
    assert not found["ndcg@10"].is_worse, "a certain drop below the margin"
    assert not any(change.is_worse for change in changes(GOOD, WORSE, 0.02)), "better is not worse"


def test_times_are_shown_and_not_judged() -> None:
    slower = {change.name: change for change in changes(SLOWER, GOOD)}["seconds"]
    assert slower.drop.mean == pytest.approx(8.9) and not slower.is_worse and slower.p is None


def test_only_questions_that_both_asked_are_compared() -> None:
    half = replace(GOOD, asked=GOOD.asked[:30])
    assert {change.drop.count for change in changes(WORSE, half)} == {30}
    with pytest.raises(BadRequest, match="asked none of these questions"):
        changes(record(asked(500)), GOOD)
    with pytest.raises(BadRequest, match="measured retrieval, this measured answers"):
        changes(GOOD, replace(GOOD, kind="retrieval"))


def test_a_handful_of_questions_is_never_called_worse() -> None:
    few = replace(WORSE, asked=WORSE.asked[:10])
    assert not any(change.is_worse for change in changes(few, GOOD))


def test_junit_has_a_test_per_score_and_a_failure_where_it_got_worse() -> None:
    suite = ElementTree.fromstring(junit(WORSE, changes(WORSE, GOOD)))
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["right, as the question is scored"]
    assert "1.0000 before, 0.8500 now" in str(next(suite.iter("failure")).get("message"))
    assert ElementTree.fromstring(junit(GOOD)).get("failures") == "0"


def test_the_page_loads_nothing_and_runs_nothing_of_a_passage() -> None:
    html = page(WORSE, changes(WORSE, GOOD))
    assert "<script" not in html and "&lt;script&gt;" in html and "28 &amp; more" in html
    assert "default-src 'none'" in html
    assert not re.search(r"(?:src|href)=|url\(|@import", html)
    assert html.count("<details>") == 15, "every question that went wrong"
    assert 'class="worse"' in html and 'class="relevant"' in html


def test_the_page_shows_calibration_where_the_system_says_how_sure_it_is() -> None:
    assert "Calibration" not in page(GOOD)
    sure = [replace(asked(n, right=float(n < 5)), confidence=0.95) for n in range(10)]
    assert "expected calibration error 0.450 over 10 answers" in page(record(*sure))
    declined = [replace(one, outcome="not_found") for one in sure]
    assert "Calibration" not in page(record(*declined)), "how sure of an answer that was not given?"


def test_bins_hold_what_was_thought_and_what_was_right() -> None:
    bins = reliability([(0.0, False), (0.95, True), (1.0, True), (0.92, False)])
    assert bins == [Bin(0.0, 0.0, 1), Bin(pytest.approx(2.87 / 3), pytest.approx(2 / 3), 3)]
    assert calibration_error(bins) == pytest.approx(0.75 * (2.87 / 3 - 2 / 3))
    assert calibration_error([]) == 0.0


def test_a_histogram_has_every_value_in_a_bar() -> None:
    for values in ([0.0, 0.5, 1.0, 1.0], [3.0, 3.0], [0.2, 7.0, 12.5]):
        counts = [int(count) for count in re.findall(r"<title>(\d+)</title>", histogram(values, "x"))]
        assert sum(counts) == len(values) and len(counts) == 10
    shares = re.findall(r"<title>(\d+)</title>", histogram([0.5, 0.55, 0.0], "x", share=True))
    assert shares == ["1", "0", "0", "0", "0", "2", "0", "0", "0", "0"]
