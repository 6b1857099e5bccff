"""Why a request is refused for its cost, in words: the estimate, what stands in the way, and the way out."""

from __future__ import annotations

from collections.abc import Sequence

from rag.cost.budget import Account, end_of, figure, unit_name
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
    budget, unit = account.budget, unit_name(account.budget.unit, currency)
    left = figure(max(0.0, account.left))
    need = f"it needs at most {figure(found.most.of(budget.unit))} {unit} of {left} left"
    held = f", {figure(account.reserved)} held by requests under way" if account.reserved else ""
    limit = f"{figure(account.limit)} a {budget.period}, {figure(account.spent)} spent{held}"
    again = f"it starts anew {end_of(budget.period, account.start)}"
    later = "try again when those end" if account.reserved else "ask an operator to raise it"
    return f"{guess}; budget {budget.id}: {need} ({limit}); {again}, or {later}"
