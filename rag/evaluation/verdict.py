"""Whether an arm of a measurement is good enough: passed, failed, or not proven either way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from rag.evaluation.chunk_cache import BASELINE, Arm, Row, reuse_of
from rag.evaluation.statistics import Interval, interval, pairs_needed

MEAN_DROP = 0.01  # of F1 and of contains, as it was measured
HIGHEST_DROP = 0.02  # of either, at the upper end of its interval; and of single- and multi-hop by themselves
NEEDLES_KEPT = 0.95  # of what full recomputation finds, at every position
FEWEST_QUESTIONS = 100  # for a PASS
FEWEST_TO_FAIL = 20  # the interval of a handful is no interval
LEAST_RIGHT = 0.15  # of the answers with full recomputation: what is never right cannot get worse


class Verdict(StrEnum):
    """What may be said of an arm."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_PROVEN = "NOT PROVEN"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured of one arm, against full recomputation.

    Drops are full recomputation minus arm, 0.01 being a percentage point; `hops` has the F1 drop by number of
    hops; `needles` the found needles per position as (in this arm, with full recomputation).
    """

    arm: Arm
    kl_mean: float
    kl_p95: float
    nll: Interval
    f1: float
    f1_drop: Interval
    contains: float
    contains_drop: Interval
    hops: dict[int, Interval]
    first_agrees: float
    needles: tuple[tuple[int, int], ...]
    cached: float
    approximate: float
    verdict: Verdict = Verdict.NOT_PROVEN
    reason: str = ""


def found(rows: Sequence[Row], arm: Arm, seed: int = 1) -> Finding:
    """Everything measured of one arm, without a verdict."""
    asked = [row for row in rows if row.question.needle is None]
    kl = [row.outcomes[arm.name].kl for row in asked]

    def drop(score: Callable[[Row, str], float], some: Sequence[Row]) -> Interval:
        return interval([score(row, BASELINE) - score(row, arm.name) for row in some], seed)

    hops = sorted({row.question.hops for row in asked})
    cached, approximate = reuse_of(asked, arm.name)
    return Finding(
        arm=arm,
        kl_mean=_mean(kl),
        kl_p95=float(np.quantile(kl, 0.95)) if kl else 0.0,
        nll=interval([row.outcomes[arm.name].nll - row.outcomes[BASELINE].nll for row in asked], seed),
        f1=_mean([row.f1(BASELINE) for row in asked]),
        f1_drop=drop(Row.f1, asked),
        contains=_mean([row.contains(BASELINE) for row in asked]),
        contains_drop=drop(Row.contains, asked),
        hops={one: drop(Row.f1, [row for row in asked if row.question.hops == one]) for one in hops},
        first_agrees=_mean([row.outcomes[arm.name].first == row.outcomes[BASELINE].first for row in asked]),
        needles=_needles(rows, arm),
        cached=cached,
        approximate=approximate,
    )


def verdict_on(finding: Finding) -> Finding:
    """The finding with its verdict."""
    verdict, reason = judged(finding)
    return replace(finding, verdict=verdict, reason=reason)


def judged(finding: Finding) -> tuple[Verdict, str]:
    """The verdict on what was found, and why.

    FAIL: even the lower end of an interval is a larger drop than may be. PASS: the drops, the upper ends and
    the needles are all within their limits. Otherwise a larger measurement would have to tell.
    """
    drops = {"F1": finding.f1_drop, "contains": finding.contains_drop}
    for name, drop in drops.items():
        if drop.low > MEAN_DROP and drop.count >= FEWEST_TO_FAIL:
            return Verdict.FAIL, f"{name} drops by {drop.mean:.1%} (at least {drop.low:.1%})"
    for hops, drop in finding.hops.items():
        if drop.low > HIGHEST_DROP and drop.count >= FEWEST_TO_FAIL:
            return Verdict.FAIL, f"F1 of questions of {hops} hops drops by {drop.mean:.1%}"
    reasons = [*_too_few(finding), *_too_wide(drops), *_by_hops(finding), *_lost(finding)]
    return (Verdict.NOT_PROVEN, "; ".join(reasons)) if reasons else (Verdict.PASS, "")


def _too_few(finding: Finding) -> list[str]:
    reasons = []
    if (asked := finding.f1_drop.count) < FEWEST_QUESTIONS:
        reasons.append(f"{asked} questions are fewer than {FEWEST_QUESTIONS}")
    if finding.contains < LEAST_RIGHT:
        reasons.append(
            f"only {finding.contains:.0%} are right with full recomputation: take a better model or easier "
            f"questions"
        )
    if not finding.needles:
        reasons.append("no needle was looked for")
    return reasons


def _too_wide(drops: dict[str, Interval]) -> list[str]:
    reasons = []
    for name, drop in drops.items():
        if drop.high <= HIGHEST_DROP and drop.mean <= MEAN_DROP:
            continue
        needed = pairs_needed(drop, HIGHEST_DROP) if drop.mean <= MEAN_DROP else None
        told = f"{name} drops by {drop.mean:.1%} (at most {drop.high:.1%})"
        more = max(needed, FEWEST_QUESTIONS) - drop.count if needed else 0
        reasons.append(f"{told}: about {more} more questions would tell" if more > 0 else told)
    return reasons


def _by_hops(finding: Finding) -> list[str]:
    return [
        f"F1 of questions of {hops} hops drops by {drop.mean:.1%}"
        for hops, drop in finding.hops.items()
        if drop.mean > HIGHEST_DROP
    ]


def _lost(finding: Finding) -> list[str]:
    lost = [
        f"{position + 1} ({here} of {before})"
        for position, (here, before) in enumerate(finding.needles)
        if here < NEEDLES_KEPT * before
    ]
    return [f"needles are lost in passage {', '.join(lost)}"] if lost else []


def _needles(rows: Sequence[Row], arm: Arm) -> tuple[tuple[int, int], ...]:
    found: dict[int, list[tuple[bool, bool]]] = {}
    for row in rows:
        if row.question.needle is not None:
            pair = (row.contains(arm.name), row.contains(BASELINE))
            found.setdefault(row.question.needle, []).append(pair)
    return tuple((sum(here for here, _ in at), sum(off for _, off in at)) for _, at in sorted(found.items()))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
