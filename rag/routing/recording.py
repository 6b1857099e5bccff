"""A decision as one JSON line, and the decision that the line leads to when it is made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag.answering.confidence import DECLINED_BELOW
from rag.errors import BadRequest
from rag.routing.router import Case, Decision, Router
from rag.routing.signals import Evidence, QuestionKind, Signals
from rag.types import Profile


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a tier's words: their quality from 0 to 1, as checked or as readers judged, and cost."""

    quality: float
    cost: float


def line(decision: Decision, outcomes: Mapping[str, Result] | None = None) -> str:
    """What was decided and on what, with the outcomes of the tiers that were tried. No text of anybody.

    Lines with outcomes of two tiers are what `rag eval routing` learns from.
    """
    case = decision.case
    fields: dict[str, Any] = {
        "tier": decision.tier,
        "reason": decision.reason.name.lower(),
        "signals": decision.signals,
        "case": asdict(case),
        "outcomes": {tier: asdict(result) for tier, result in (outcomes or {}).items()},
    }
    return json.dumps(fields, ensure_ascii=False)


def case_of(recorded: str) -> Case:
    """The case that a line was written for. Raises BadRequest for anything else."""
    try:
        fields = json.loads(recorded)["case"]
        signals, evidence = fields["signals"], fields["evidence"]
        if profile := fields.pop("profile", ""):  # what lines named before the bar could be set
            fields["declined_below"] = DECLINED_BELOW[Profile(profile)]
        kinds = {QuestionKind(name): chance for name, chance in signals["kinds"].items()}
        return Case(
            **{
                **fields,
                "signals": Signals(**{**signals, "kinds": kinds}),
                "evidence": Evidence(**evidence) if evidence else None,
                "drafted": tuple(fields["drafted"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"not a recorded decision: {type(error).__name__}: {error}") from None


def replay(recorded: str, router: Router) -> Decision:
    """What this router decides on a recorded case. Raises BadRequest, and what `choose` raises."""
    return router.choose(case_of(recorded))
