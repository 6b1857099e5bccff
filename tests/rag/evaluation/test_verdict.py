"""Verdicts on measurements made up for the purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.engine.generator import Reuse
from rag.evaluation.chunk_cache import Arm, Outcome, Row
from rag.evaluation.dataset import Excerpt, Question
from rag.evaluation.statistics import Interval
from rag.evaluation.verdict import Finding, Verdict, found, judged, verdict_on

ARM = Arm("repair 0", Reuse.APPROXIMATE)
SAME = Interval(0.0, -0.005, 0.005, 0.002, 300)
GOOD = Finding(
    arm=ARM,
    kl_mean=0.01,
    kl_p95=0.02,
    nll=SAME,
    f1=0.6,
    f1_drop=SAME,
    contains=0.7,
    contains_drop=SAME,
    hops={1: SAME, 2: SAME},
    first_agrees=0.99,
    needles=((6, 6), (6, 6)),
    cached=0.9,
    approximate=0.6,
)


def test_what_changes_nothing_passes() -> None:
    assert judged(GOOD) == (Verdict.PASS, "")
    assert verdict_on(GOOD).verdict is Verdict.PASS


@pytest.mark.parametrize("score", ["f1_drop", "contains_drop"])
def test_a_drop_that_is_certain_fails(score: str) -> None:
    verdict, reason = judged(replace(GOOD, **{score: Interval(0.05, 0.03, 0.07, 0.01, 300)}))
    assert verdict is Verdict.FAIL and "drops by 5.0% (at least 3.0%)" in reason


def test_a_drop_of_multi_hop_questions_alone_fails() -> None:
    verdict, reason = judged(replace(GOOD, hops={1: SAME, 2: Interval(0.05, 0.03, 0.07, 0.01, 150)}))
    assert verdict is Verdict.FAIL and "2 hops" in reason


def test_a_wide_interval_says_how_many_more_questions_would_tell() -> None:
    wide = Interval(0.0, -0.04, 0.04, 0.02, 150)
    verdict, reason = judged(replace(GOOD, f1_drop=wide))
    needed = 577  # 150 * (1.96 * 0.02 / 0.02) ** 2, rounded up
    assert verdict is Verdict.NOT_PROVEN and f"about {needed - 150} more questions" in reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"f1_drop": replace(SAME, count=99)}, "99 questions are fewer than 100"),
        ({"contains": 0.1}, "only 10% are right with full recomputation"),
        ({"needles": ()}, "no needle was looked for"),
        ({"needles": ((6, 6), (5, 6))}, r"needles are lost in passage 2 (5 of 6)"),
        ({"hops": {1: SAME, 2: Interval(0.03, -0.01, 0.07, 0.02, 150)}}, "2 hops drops by 3.0%"),
        ({"f1_drop": Interval(0.015, 0.009, 0.019, 0.002, 300)}, "F1 drops by 1.5% (at most 1.9%)"),
    ],
)
def test_what_is_not_proven_says_what_is_missing(changes: dict[str, object], reason: str) -> None:
    verdict, told = judged(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert verdict is Verdict.NOT_PROVEN and reason in told


def test_a_handful_of_questions_fails_nobody() -> None:
    few = Interval(1.0, 1.0, 1.0, 0.0, 3)
    assert judged(replace(GOOD, f1_drop=few, hops={1: few}))[0] is Verdict.NOT_PROVEN


def row(text: str, *, hops: int = 1, needle: int | None = None, nll: float = 1.0, first: int = 7) -> Row:
    base = Outcome("It is 28.", 7, 1.0, 0.0, 100, 0, 0)
    arm = Outcome(text, first, nll, 0.5, 100, 90, 60)
    question = Question("?", ("28",), (Excerpt("a", "b"),) * 2, hops, needle)
    return Row(question, {"off": base, "repair 0": arm})


def test_findings_are_paired_differences_of_full_recomputation_minus_arm() -> None:
    rows = [row("It is 28."), row("It is 30.", hops=2, nll=1.5, first=8), row("It is 28.", needle=0)]
    rows += [row("No.", needle=1)]
    finding = found(rows, ARM)
    assert finding.f1 == pytest.approx(0.5) and finding.f1_drop.mean == pytest.approx(0.25)
    assert finding.hops[1].mean == 0 and finding.hops[2].mean == pytest.approx(0.5)
    assert (finding.contains, finding.contains_drop.mean) == (1.0, 0.5)
    assert finding.nll.mean == pytest.approx(0.25) and finding.first_agrees == 0.5
    assert finding.needles == ((1, 1), (0, 1)) and finding.kl_mean == 0.5
    assert (finding.cached, finding.approximate) == (0.9, 0.6)
