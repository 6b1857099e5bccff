"""The ladder: what is given when the worst case does not fit. No clock, no chance, no database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.cost.budget import Account, Amounts, Budget, OnLimit, Scope, Span, Unit
from rag.cost.estimate import Estimate
from rag.cost.guardrail import Plan, Step, decide

PLAN = Plan("large", prompt_tokens=1000, max_tokens=400, passages=8, passage_tokens=800)
DEARNESS = {"large": 10.0, "small": 1.0, "extract": 0.0}


def estimate(plan: Plan) -> Estimate:
    """A token read costs a thousandth, a token written a hundredth, times ten on the large tier."""
    money = DEARNESS[plan.tier] * (plan.prompt_tokens / 1000 + plan.max_tokens / 100)
    amounts = Amounts(money=money, seconds=money)
    return Estimate(amounts, amounts, amounts, 0.0, "measured", 50)


def account(left: float, on_limit: OnLimit = OnLimit.DEGRADE, unit: Unit = Unit.MONEY) -> Account:
    budget = Budget("acme", Scope.TENANT, "acme", Span.DAY, unit, 100, on_limit=on_limit)
    return Account(budget, "acme", "2026-11-21", 100, 100 - left, 0)


def test_what_fits_is_done_as_asked() -> None:
    made = decide(PLAN, [account(50)], estimate, cap=50)
    assert (made.step, made.plan, made.is_allowed) == (Step.AS_ASKED, PLAN, True)


def test_passages_go_first() -> None:
    made = decide(PLAN, [account(46)], estimate)
    assert made.step is Step.FEWER_CHUNKS
    assert made.plan == replace(PLAN, passages=4, passage_tokens=400, prompt_tokens=600)


def test_then_the_answer_gets_shorter_with_the_passages_left_out() -> None:
    made = decide(PLAN, [account(25)], estimate)
    assert made.step is Step.SHORTER_ANSWER
    assert (made.plan.passages, made.plan.max_tokens) == (1, 200)


def test_then_a_smaller_tier_answers_if_one_may_with_all_that_was_asked_for() -> None:
    made = decide(PLAN, [account(5)], estimate, smaller=["small", "extract"])
    assert made.step is Step.SMALLER_TIER
    assert made.plan == replace(PLAN, tier="small")


def test_a_tier_whose_gate_was_not_passed_is_never_taken_to_save_money() -> None:
    made = decide(PLAN, [account(7)], estimate, smaller=[])
    assert (made.step, made.plan.tier, made.is_allowed) == (Step.SHORTER_ANSWER, "large", True)
    assert decide(PLAN, [account(1)], estimate, smaller=[]).step is Step.REFUSE


def test_work_that_can_wait_is_told_to_and_a_reader_is_refused() -> None:
    assert decide(PLAN, [account(0)], estimate, can_wait=True).step is Step.QUEUE
    refused = decide(PLAN, [account(0)], estimate)
    assert (refused.step, refused.obstacle) == (Step.REFUSE, "acme:tenant:acme:day:money")
    assert not refused.is_allowed


def test_waiting_does_not_help_against_the_cap_of_one_question() -> None:
    assert decide(PLAN, [], estimate, cap=0.001, can_wait=True).step is Step.REFUSE


def test_a_budget_that_refuses_does_not_degrade() -> None:
    made = decide(PLAN, [account(46, OnLimit.REFUSE)], estimate, smaller=["small"])
    assert made.step is Step.REFUSE


def test_rungs_that_the_settings_leave_out_are_not_tried() -> None:
    made = decide(PLAN, [account(46)], estimate, ladder=("shorter_answer",))
    assert made.step is Step.SHORTER_ANSWER and made.plan.passages == 8


def test_every_balance_must_have_room_whatever_it_counts() -> None:
    made = decide(PLAN, [account(1000), account(5, unit=Unit.SECONDS)], estimate, smaller=["small"])
    assert made.plan.tier == "small" and made.obstacle.endswith("seconds")


@pytest.mark.parametrize("left", [0, 3, 11, 26, 47, 80])
def test_the_same_inputs_have_the_same_outcome(left: float) -> None:
    first, again = (decide(PLAN, [account(left)], estimate, cap=60, smaller=["small"]) for _ in range(2))
    assert first == again
