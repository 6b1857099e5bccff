"""How a request is written down: while it is under way, when it is refused, and when it is settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rag.cost.budget import kind_of
from rag.cost.estimate import Estimate
from rag.cost.guardrail import Decision
from rag.cost.ledger import Ending, Entry, Kind

if TYPE_CHECKING:
    from rag.cost.ticket import Ticket


def refused(entry: Mapping[str, Any], decision: Decision, at: float) -> Entry:
    """The row of a request that was not served."""
    fields = {name: value for name, value in entry.items() if name not in ("at", "external_most")}
    told = {"step": str(decision.step), "obstacle": obstacle(decision), **estimated(decision.estimate)}
    return Entry(at=at, outcome=Ending.REFUSED, details=told, **fields)


def opened(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row that were known when its request opened."""
    fields = {name: entry[name] for name in entry if name != "external_most"}
    return {**fields, "kind": Kind(entry.get("kind", Kind.REQUEST))}  # older ones are without


def decided(ticket: Ticket) -> dict[str, Any]:
    """What the guardrail said, and the estimate that was in force at the end."""
    decision = ticket.decision
    packed = {tier: asdict(plan) for tier, plan in ticket.packed.items()}
    tiers = {"tiers": list(ticket.work)} if len(ticket.work) > 1 else {}
    return {
        "step": str(decision.step),
        "obstacle": obstacle(decision),
        **tiers,
        "plan": asdict(ticket.plan),
        **({"packed": packed} if packed else {}),
        **estimated(decision.estimate),
    }


def obstacle(decision: Decision) -> str:
    """What stood in the way: the cap, or the kind of budget."""
    return kind_of(decision.obstacle) if ":" in decision.obstacle else decision.obstacle


def estimated(estimate: Estimate) -> dict[str, Any]:
    """An estimate for the record: in money and seconds."""
    parts = {"p50": estimate.p50, "p95": estimate.p95, "most": estimate.most}
    shown = {name: {"money": part.money, "seconds": part.seconds} for name, part in parts.items()}
    return {"estimate": {**shown, "basis": estimate.basis, "samples": estimate.samples}}
