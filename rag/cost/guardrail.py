"""What a request gets whose worst case does not fit: less, later, or nothing. Pure: no clock, no chance.

The ladder: as asked, then the rungs of cost.ladder in their order; each keeps what the ones before it took
away. A smaller tier is only ever one that the caller says may serve (its gate passed for the risk profile,
its egress is allowed): cost never opens what policy closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rag.cost.budget import Account, Amounts, OnLimit
from rag.cost.estimate import Estimate

LEAST_TOKENS = 32
LEAST_PASSAGES = 1


class Step(StrEnum):
    """A rung of the ladder; its name is the reason code that the answer carries."""

    AS_ASKED = "as_asked"
    FEWER_CHUNKS = "fewer_chunks"
    SHORTER_ANSWER = "shorter_answer"
    SMALLER_TIER = "smaller_tier"
    QUEUE = "queue"
    REFUSE = "cost_cap_exceeded"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request is going to do. `passage_tokens` of the prompt are `passages` that could be left out."""

    tier: str
    prompt_tokens: int
    max_tokens: int
    passages: int = 0
    passage_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What is given, why, what it may cost, and what stood in the way of more: the cap, or a budget's id."""

    step: Step
    plan: Plan
    estimate: Estimate
    obstacle: str = ""

    @property
    def is_allowed(self) -> bool:
        """Whether there is something to do now."""
        return self.step not in (Step.QUEUE, Step.REFUSE)


def decide(
    asked: Plan,
    accounts: Sequence[Account],
    estimate: Callable[[Plan], Estimate],
    *,
    cap: float = 0.0,
    ladder: Sequence[str] = tuple(Step),
    smaller: Sequence[str] = (),
    can_wait: bool = False,
) -> Decision:
    """The first plan whose worst case is within the cap (0: none) and every balance.

    `smaller`: the tiers that may serve instead, dearest first. `can_wait`: nobody sits at a screen.
    """
    first = estimate(asked)
    obstacle = obstructed(first.most, accounts, cap)
    if not obstacle:
        return Decision(Step.AS_ASKED, asked, first)
    refusing = any(
        each.budget.on_limit is OnLimit.REFUSE and each.left < first.most.of(each.budget.unit)
        for each in accounts
    )
    if not refusing:
        for step, plan in rungs(asked, ladder, smaller):
            found = estimate(plan)
            if not obstructed(found.most, accounts, cap):
                return Decision(step, plan, found, obstacle)
    # Waiting helps against a balance that starts anew, never against the cap of one question.
    waits = can_wait and Step.QUEUE in ladder and obstacle != "cap"
    return Decision(Step.QUEUE if waits else Step.REFUSE, asked, first, obstacle)


def obstructed(most: Amounts, accounts: Sequence[Account], cap: float) -> str:
    """What a worst case does not fit: "cap", or the id of the first budget; empty when it fits."""
    if cap and most.money > cap:
        return "cap"
    short = (each.budget.id for each in accounts if each.left < most.of(each.budget.unit))
    return next(short, "")


def rungs(asked: Plan, ladder: Sequence[str], smaller: Sequence[str]) -> Iterator[tuple[Step, Plan]]:
    """The plans to try, in order."""
    plan = asked
    for name in ladder:
        if name == Step.FEWER_CHUNKS:
            while plan.passages > LEAST_PASSAGES:
                plan = with_passages(plan, max(LEAST_PASSAGES, plan.passages // 2))
                yield Step.FEWER_CHUNKS, plan
        elif name == Step.SHORTER_ANSWER:
            while plan.max_tokens > LEAST_TOKENS:
                plan = replace(plan, max_tokens=max(LEAST_TOKENS, plan.max_tokens // 2))
                yield Step.SHORTER_ANSWER, plan
        elif name == Step.SMALLER_TIER:
            for tier in smaller:
                yield Step.SMALLER_TIER, replace(asked, tier=tier)
                if plan != asked:
                    yield Step.SMALLER_TIER, replace(plan, tier=tier)


def with_passages(plan: Plan, passages: int) -> Plan:
    """The same with so many passages, of equal length as far as anybody knows."""
    tokens = plan.passage_tokens * passages // plan.passages
    return replace(
        plan,
        passages=passages,
        passage_tokens=tokens,
        prompt_tokens=plan.prompt_tokens - plan.passage_tokens + tokens,
    )
