"""What to do about models and machines: measure, downsize, consolidate, retire. Pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rag.cost.inventory import ModelLine

ENOUGH_DAYS = 7.0  # fewer tell nothing about what is not needed
LOW_LOAD = 0.05
SMALLER = 0.8  # of the size, or it is not worth the change


class Action(StrEnum):
    """Kinds of advice."""

    REPAIR = "repair"
    MEASURE = "measure"
    DOWNSIZE = "downsize"
    CONSOLIDATE = "consolidate"
    RETIRE = "retire"
    OVER_PROVISIONED = "over-provisioned"


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do, about which model (empty: the machine), and why."""

    action: Action
    model: str
    why: str


def advise(
    models: Sequence[ModelLine], *, profile: str, utilisation: float, days: float
) -> tuple[Advice, ...]:
    """What follows from the inventory and the ledger of so many days, for the risk profile that is served."""
    found = [
        Advice(Action.REPAIR, each.name, each.state)
        for each in models
        if each.state != "verified" and (each.in_use or each.added)
    ]
    generators = [each for each in models if each.kind == "generator" and each.state == "verified"]
    for each in generators:
        if each.in_use and not each.may_serve(profile):
            told = f"it answers for profile {profile} without a passed gate: rag eval quantisation"
            found.append(Advice(Action.MEASURE, each.name, told))
        if smaller := smaller_that_may(each, generators, profile):
            part = smaller.size_bytes / each.size_bytes
            told = f"{smaller.name} has {part:.0%} of its size and passed {profile}"
            found.append(Advice(Action.DOWNSIZE, each.name, told))
    used = [each for each in generators if each.use]
    if len(used) > 1:
        least = min(used, key=lambda each: each.use.busy_s if each.use else 0.0)
        others = ", ".join(each.name for each in used if each is not least)
        if any(each.may_serve(profile) for each in used if each is not least):
            told = f"it is used least; {others} may serve profile {profile} and is loaded anyway"
            found.append(Advice(Action.CONSOLIDATE, least.name, told))
    if days >= ENOUGH_DAYS:
        found += [
            Advice(
                Action.RETIRE,
                each.name,
                f"nobody used it in {days:.0f} days: rag models rm frees {each.size_bytes / 1e6:.0f} MB",
            )
            for each in models
            if each.added and not each.in_use and not each.use
        ]
        if utilisation < LOW_LOAD:
            load = f"busy {utilisation:.2%} of {days:.0f} days"
            told = f"{load}: a smaller machine, or an API, costs less per answer"
            found.append(Advice(Action.OVER_PROVISIONED, "", told))
    return tuple(found)


def smaller_that_may(model: ModelLine, others: Sequence[ModelLine], profile: str) -> ModelLine | None:
    """The smallest other model with a proof of its own that it may take this one's place. A profile without
    a gate proves nothing."""
    if not model.use and not model.in_use:
        return None
    proven = [
        each
        for each in others
        if each.size_bytes < SMALLER * model.size_bytes
        and any(gate.profile == profile and gate.verdict == "PASS" for gate in each.gates)
    ]
    return min(proven, key=lambda each: each.size_bytes, default=None)
