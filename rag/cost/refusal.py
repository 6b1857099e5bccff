"""Why a request is refused for its cost, in words: the estimate, what stands in the way, and the way out."""

from __future__ import annotations

from collections.abc import Sequence

from rag.cost.budget import Account
from rag.cost.guardrail import Decision


def refusal(decision: Decision, accounts: Sequence[Account], cap: float, currency: str) -> str:
    """Why a request is refused, with the estimate and the way out."""
    found = decision.estimate
    guess = (
        f"this would cost about {found.p50.money:.2g}, at most {found.most.money:.2g} {currency}"
        f" ({found.basis})"
    )
    if decision.obstacle == "cap":
        limit = f"this one may cost {cap:g} (cost.max_per_query, or max_cost of the request)"
        return f"{guess}; {limit}: ask for less, or raise it"
    obstacles = [each for each in accounts if each.budget.id == decision.obstacle]
    account = min(obstacles, key=lambda each: each.left)  # "*" has one for each of the caller's groups
    unit = account.budget.unit
    need = f"it needs {found.most.of(unit):.3g} of {max(0.0, account.left):.3g} left"
    again = f"it starts anew after {account.budget.period} {account.start}"
    return f"{guess}; budget {account.budget.id}: {need}; {again}, or ask an operator to raise it"
