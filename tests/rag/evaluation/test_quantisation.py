"""The gate's rule, on answers whose right verdict is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rag.evaluation.pairing import Pair, Said
from rag.evaluation.quantisation import advice, found, judged
from rag.evaluation.verdict import Verdict
from rag.models.gates import TERMS
from rag.types import Profile

FINE = Said("28 days.", right=True, malformed=False, uncitable=False, false_fact=False)
WRONG = replace(FINE, text="30 days.", right=False)


def pairs(same: int, lost: int = 0, won: int = 0, *, critical: Sequence[int] = ()) -> list[Pair]:
    """Questions of documents of their own: the lost ones first, then the won, then those of one mind."""
    sides = [(FINE, WRONG)] * lost + [(WRONG, FINE)] * won + [(FINE, FINE)] * same
    return [
        Pair(str(n), f"Question {n}?", f"document {n}", n in critical, before, now)
        for n, (before, now) in enumerate(sides)
    ]


def verdict(
    asked: list[Pair], profile: Profile = Profile.STANDARD, reference: str = "F16", signed_by: str = ""
) -> tuple[Verdict, str]:
    said, reasons = judged(found(asked), profile, reference=reference, signed_by=signed_by)
    return said, "; ".join(reasons)


def test_enough_questions_without_a_drop_pass() -> None:
    assert verdict(pairs(960, lost=10, won=10)) == (Verdict.PASS, "")


def test_no_difference_among_few_questions_proves_nothing() -> None:
    said, reason = verdict(pairs(100))
    assert said is Verdict.NOT_PROVEN and "100 questions are fewer than 950" in reason


def test_a_drop_that_may_be_too_large_proves_nothing() -> None:
    said, reason = verdict(pairs(800, lost=90, won=70))
    assert said is Verdict.NOT_PROVEN and "the drop may be as large as" in reason


def test_a_drop_that_is_certain_and_too_large_fails() -> None:
    said, reason = verdict(pairs(900, lost=80, won=20))
    assert said is Verdict.FAIL and "6.0% worse" in reason


def test_a_certain_drop_within_the_margin_passes() -> None:
    asked = pairs(2480, lost=15, won=5)
    assert found(asked).low > 0
    assert verdict(asked)[0] is Verdict.PASS


def test_a_critical_fact_that_is_lost_stops_high_risk_whatever_the_number() -> None:
    asked = pairs(2990, lost=1, won=9, critical=[0])
    assert verdict(asked)[0] is Verdict.PASS
    said, reason = verdict(asked, Profile.HIGH)
    assert said is Verdict.FAIL and "1 of 1 critical facts were lost" in reason


@pytest.mark.parametrize("kind", ["malformed", "uncitable", "false_fact"])
def test_one_more_error_in_critical_facts_fails_every_profile(kind: str) -> None:
    asked = pairs(3000, critical=[0, 1])
    spoilt = replace(FINE, **{kind: True})
    worse = [replace(asked[0], candidate=spoilt), *asked[1:]]
    said, reason = verdict(worse, Profile.EXPLORATORY)
    assert said is Verdict.FAIL and kind.replace("_", " ") in reason
    even = [replace(asked[0], candidate=spoilt), replace(asked[1], reference=spoilt), *asked[2:]]
    assert verdict(even, Profile.EXPLORATORY)[0] is Verdict.PASS
    elsewhere = [*asked[:-1], replace(asked[-1], candidate=spoilt)]
    assert verdict(elsewhere, Profile.EXPLORATORY)[0] is Verdict.PASS


def test_high_risk_takes_fewer_questions_where_few_answers_changed() -> None:
    assert verdict(pairs(1190, lost=5, won=5), Profile.HIGH)[0] is Verdict.PASS
    said, reason = verdict(pairs(1100, lost=50, won=50), Profile.HIGH)
    assert said is Verdict.NOT_PROVEN and "1,200 questions are fewer than 2,150" in reason


def test_a_reference_that_is_quantised_itself_proves_nothing() -> None:
    assert verdict(pairs(1000), reference="Q4_1")[0] is Verdict.NOT_PROVEN
    assert verdict(pairs(1000), reference="Q8_0") == (Verdict.PASS, "the reference is Q8_0, not F16")


def test_restricted_work_is_signed_by_a_person() -> None:
    asked = pairs(9000)
    assert verdict(asked, Profile.RESTRICTED) == (
        Verdict.NOT_PROVEN,
        "a person has to sign: --signed-by NAME",
    )
    assert verdict(asked, Profile.RESTRICTED, signed_by="A. Weber")[0] is Verdict.PASS


def test_questions_about_few_documents_prove_less() -> None:
    asked = pairs(960, lost=10, won=10)
    shared = [replace(pair, cluster=f"document {n // 10}") for n, pair in enumerate(asked)]
    apart, together = found(asked), found(shared)
    assert together.documents == 98 and together.drop == apart.drop
    assert together.low < apart.low and together.high > apart.high


def test_flips_are_told_even_where_they_cancel_out() -> None:
    finding = found(pairs(700, lost=150, won=150))
    assert finding.drop == 0 and finding.flips == 0.3 and finding.mcnemar_p == 1.0


def test_advice_names_the_questions_that_a_proof_takes() -> None:
    told = advice(found(pairs(90, lost=5, won=5)), Profile.HIGH)
    assert "10.0% of the answers changed: 2,150 questions prove a drop below 2%" in told
    assert "0 critical facts" in told
    assert "if it is the 1.0% that was seen" in advice(found(pairs(90, lost=6, won=5)), Profile.STANDARD)


def test_stricter_profiles_ask_for_no_less() -> None:
    order = [TERMS[profile] for profile in Profile]
    for loose, strict in zip(order, order[1:], strict=False):
        assert strict.margin < loose.margin and strict.questions > loose.questions
