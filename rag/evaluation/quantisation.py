"""Whether a smaller model answers as well as its reference, for one risk profile: PASS, FAIL or NOT PROVEN.

Lost are questions that only the reference answers, won those that only the candidate answers; the drop is
(lost - won) / questions. What proves nothing is no pass: "no significant difference" of few questions least
of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.evaluation.pairing import Pair
from rag.evaluation.statistics import drop_bounds, mcnemar, questions_needed, score_bounds
from rag.evaluation.verdict import Verdict
from rag.models.gates import TERMS, Terms
from rag.types import Profile

WHOLE = frozenset({"F32", "F16", "BF16"})
NEARLY_WHOLE = "Q8_0"  # where F16 does not fit; a result says so
KINDS_OF_ERROR = ("malformed", "uncitable", "false_fact")
ONE_PERCENT = 299  # items without an error that bound its rate below 1 %


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured. Bounds are one-sided, at 95 %: of the bootstrap by document, and of the score test.

    `errors`: of critical facts, by kind, as (with the reference, with the candidate); `facts_lost`: critical
    facts that only the reference has right, of `critical`.
    """

    questions: int
    documents: int
    reference_right: float
    candidate_right: float
    lost: int
    won: int
    drop: float
    flips: float
    bootstrap: tuple[float, float]
    score: tuple[float, float]
    mcnemar_p: float
    critical: int
    facts_lost: int
    errors: dict[str, tuple[int, int]]

    @property
    def low(self) -> float:
        """The drop is at least this, as the more careful of both methods says."""
        return min(self.bootstrap[0], self.score[0])

    @property
    def high(self) -> float:
        """The drop is at most this, as the more careful of both methods says."""
        return max(self.bootstrap[1], self.score[1])


def found(pairs: Sequence[Pair], seed: int = 1) -> Finding:
    """Everything that is measured of at least one pair."""
    drops = [int(pair.reference.right) - int(pair.candidate.right) for pair in pairs]
    count, lost, won = len(pairs), drops.count(1), drops.count(-1)
    critical = [pair for pair in pairs if pair.critical]
    return Finding(
        questions=count,
        documents=len({pair.cluster for pair in pairs}),
        reference_right=sum(pair.reference.right for pair in pairs) / count,
        candidate_right=sum(pair.candidate.right for pair in pairs) / count,
        lost=lost,
        won=won,
        drop=(lost - won) / count,
        flips=(lost + won) / count,
        bootstrap=drop_bounds(drops, [pair.cluster for pair in pairs], seed),
        score=score_bounds(lost, won, count),
        mcnemar_p=mcnemar(lost, won),
        critical=len(critical),
        facts_lost=sum(pair.reference.right and not pair.candidate.right for pair in critical),
        errors={
            kind: (
                sum(getattr(pair.reference, kind) for pair in critical),
                sum(getattr(pair.candidate, kind) for pair in critical),
            )
            for kind in KINDS_OF_ERROR
        },
    )


def judged(
    finding: Finding, profile: Profile, *, reference: str, signed_by: str = ""
) -> tuple[Verdict, list[str]]:
    """The verdict for a profile and its reasons; `reference` is the quantisation of the reference."""
    terms = TERMS[profile]
    if stops := _stopped(finding, terms):
        return Verdict.FAIL, stops
    if finding.low >= terms.margin or (finding.low > 0 and finding.drop >= terms.margin):
        told = f"it is {finding.drop:.1%} worse (at least {finding.low:.1%}), allowed is {terms.margin:.1%}"
        return Verdict.FAIL, [told]
    missing = [*_too_few(finding, terms), *_too_wide(finding, terms)]
    if reference not in WHOLE and reference != NEARLY_WHOLE:
        missing.append(f"the reference is {reference} itself: take F16, or Q8_0 where that does not fit")
    if terms.signed and not signed_by:
        missing.append("a person has to sign: --signed-by NAME")
    if missing:
        return Verdict.NOT_PROVEN, missing
    return Verdict.PASS, ["the reference is Q8_0, not F16"] if reference == NEARLY_WHOLE else []


def advice(finding: Finding, profile: Profile) -> str:
    """How many questions a proof takes, from the share of answers that changed here."""
    terms = TERMS[profile]
    flips = max(finding.flips, 1 / finding.questions)
    least = terms.few if terms.few and flips <= terms.few_flips else terms.questions
    needed = max(least, questions_needed(flips, terms.margin))
    told = f"{flips:.1%} of the answers changed: {needed:,} questions prove a drop below {terms.margin:.0%}"
    told += " if there is none (power 90 %)"
    if 0 < finding.drop < terms.margin:
        more = max(least, questions_needed(flips, terms.margin, finding.drop))
        told += f", {more:,} if it is the {finding.drop:.1%} that was seen"
    if finding.critical < ONE_PERCENT:
        told += f"; {finding.critical} critical facts, {ONE_PERCENT} without a loss bound losses below 1 %"
    return told


def _stopped(finding: Finding, terms: Terms) -> list[str]:
    """What no number of questions makes good."""
    stops = [
        f"critical facts: {kind.replace('_', ' ')} {before} times with the reference, {now} times now"
        for kind, (before, now) in finding.errors.items()
        if now > before
    ]
    if terms.no_fact_lost and finding.facts_lost:
        stops.append(f"{finding.facts_lost} of {finding.critical} critical facts were lost, none may be")
    return stops


def _too_few(finding: Finding, terms: Terms) -> list[str]:
    few = terms.few and finding.flips <= terms.few_flips
    needed = terms.few if few else terms.questions
    asked = finding.questions
    return [f"{asked:,} questions are fewer than {needed:,}"] if asked < needed else []


def _too_wide(finding: Finding, terms: Terms) -> list[str]:
    if finding.high < terms.margin:
        return []
    return [f"the drop may be as large as {finding.high:.1%}, allowed is below {terms.margin:.1%}"]
