"""Whether somebody else's API would have been cheaper, and from how many questions an hour on it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import isfinite

from rag.cost.prices import Price
from rag.cost.rates import Rates


@dataclass(frozen=True, slots=True)
class BreakEven:
    """One API beside this machine. Money per question of the mean length, questions per hour.

    `needed`: from here on this machine is cheaper; `possible`: the most it can answer.
    """

    model: str
    api_cost: float
    needed: float
    actual: float
    possible: float
    as_of: date
    is_stale: bool

    @property
    def verdict(self) -> str:
        """Who is cheaper, in words."""
        if self.needed > self.possible:
            return "the API is cheaper, at any load"
        if self.actual < self.needed:
            return f"the API is cheaper below {hourly(self.needed)} questions an hour"
        return "this machine is cheaper"


def hourly(questions: float) -> str:
    """Questions an hour for people."""
    if not isfinite(questions):
        return "never"
    return f"{questions:,.0f}" if questions >= 100 else f"{questions:.3g}"


@dataclass(frozen=True, slots=True)
class MeanQuestion:
    """What a question takes on average: tokens, and seconds of the machine."""

    prompt_tokens: float
    completion_tokens: float
    busy_s: float


def break_even(
    mean: MeanQuestion, rates: Rates, price: Price, *, worth: float, per_hour: float, on: date
) -> BreakEven:
    """An API against this machine at its load. `worth`: of one unit of the price's currency in ours.

    A machine that answers n questions an hour costs rates.hour(n * busy_s / 3600): its power grows with them.
    """
    api_cost = price.cost(mean.prompt_tokens, mean.completion_tokens) * worth
    dynamic = rates.electricity(mean.busy_s / 3600 * (rates.busy_w - rates.idle_w))
    margin = api_cost - dynamic  # what each question brings in towards the cost of an idle hour
    return BreakEven(
        model=price.model,
        api_cost=api_cost,
        needed=rates.hour(0.0) / margin if margin > 0 else float("inf"),
        actual=per_hour,
        possible=3600 / mean.busy_s if mean.busy_s else float("inf"),
        as_of=price.date,
        is_stale=price.is_stale(on),
    )
