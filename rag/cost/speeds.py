"""How fast requests went here, and how far off expectations were: what estimates are made of."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cost.meter import Work

if TYPE_CHECKING:
    from rag.cost.guardrail import Plan

MARGIN = 2.0
LATEST, LATE = 25, 100  # requests, from which p50 and p95 are read
# Until this machine has measured its own: a model of 8 billion parameters on two cores is not slower.
SLOWEST_PREFILL_S, SLOWEST_DECODE_S, SLOWEST_REST_S = 0.05, 0.5, 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What one request took: tokens read, those of them not cached, written, and machine-seconds.

    `planned_tokens`, `planned_most`: the prompt and the answer that it was estimated for.
    """

    planned_tokens: int
    planned_most: float
    prompt_tokens: int
    fresh_tokens: int
    completion_tokens: int
    prefill_s: float
    decode_s: float
    rest_s: float

    @property
    def busy_s(self) -> float:
        """All of it."""
        return self.prefill_s + self.decode_s + self.rest_s


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds per token and beside tokens, typical and slowest; how requests compared with the typical."""

    prefill_s: float = SLOWEST_PREFILL_S
    decode_s: float = SLOWEST_DECODE_S
    rest_s: float = SLOWEST_REST_S
    completion: float = math.inf
    slowest: tuple[float, float, float] = (SLOWEST_PREFILL_S, SLOWEST_DECODE_S, SLOWEST_REST_S)
    completion_p95: float = math.inf
    ratio_p50: float = 1.0
    ratio_p95: float = 1.0
    samples: int = 0

    def typical(self, prompt_tokens: float, max_tokens: float) -> float:
        """Seconds that are to be expected."""
        return self.rest_s + prompt_tokens * self.prefill_s + min(self.completion, max_tokens) * self.decode_s

    def most(self, prompt_tokens: float, max_tokens: float) -> float:
        """Seconds that it will not exceed."""
        prefill_s, decode_s, rest_s = self.slowest
        slow = rest_s + prompt_tokens * prefill_s + max_tokens * decode_s
        return MARGIN * slow if self.samples else slow


def sample_of(work: Work, cores: int, plan: Plan | None) -> Sample:
    """What an estimate learns from work."""
    return Sample(
        planned_tokens=plan.prompt_tokens if plan else work.prompt_tokens,
        planned_most=plan.max_tokens if plan else math.inf,
        prompt_tokens=work.prompt_tokens,
        fresh_tokens=work.prompt_tokens - work.cached_tokens,
        completion_tokens=work.completion_tokens,
        prefill_s=work.prefill_s,
        decode_s=work.decode_s,
        rest_s=work.cpu_s / cores,
    )


def recalled(
    tier: str,
    prompt: int,
    cached: int,
    written: int,
    prefill_s: float,
    decode_s: float,
    busy_s: float,
    details: str,
) -> Sample:
    """The same from a row of the ledger."""
    plan = json.loads(details).get("plan", {})
    is_its = plan.get("tier") == tier
    return Sample(
        planned_tokens=plan["prompt_tokens"] if is_its else prompt,
        planned_most=plan["max_tokens"] if is_its else math.inf,
        prompt_tokens=prompt,
        fresh_tokens=prompt - cached,
        completion_tokens=written,
        prefill_s=prefill_s,
        decode_s=decode_s,
        rest_s=busy_s - prefill_s - decode_s,
    )


def fit(samples: Sequence[Sample]) -> Speeds:
    """Typical and slowest speeds, and how far off the typical was of late. The oldest sample comes first."""
    middle = statistics.median
    # By whole prompts, as they were planned in the end: what was cached of them, or never put into them, is
    # part of what is typical, and of how far off that is.
    prefills = [each.prefill_s / each.prompt_tokens for each in samples if each.prompt_tokens] or [0.0]
    fresh = [each.prefill_s / each.fresh_tokens for each in samples if each.fresh_tokens > 0] or [0.0]
    decodes = [each.decode_s / each.completion_tokens for each in samples if each.completion_tokens] or [0.0]
    rests = [each.rest_s for each in samples]
    written = sorted(each.completion_tokens for each in samples)
    plain = Speeds(middle(prefills), middle(decodes), middle(rests), middle(written), samples=len(samples))
    ratios = [
        each.busy_s / max(1e-9, plain.typical(each.planned_tokens, each.planned_most)) for each in samples
    ]
    return Speeds(
        plain.prefill_s,
        plain.decode_s,
        plain.rest_s,
        plain.completion,
        slowest=(max(fresh), max(decodes), max(rests)),
        completion_p95=quantile(written, 0.95),
        # What else the machine does slows all requests of an hour alike: the last ones tell best.
        ratio_p50=middle(ratios[-LATEST:]),
        ratio_p95=quantile(sorted(ratios[-LATE:]), 0.95),
        samples=len(samples),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The conformal quantile: the ceil((n + 1) * share)-th of n values in order."""
    return ordered[min(len(ordered), math.ceil((len(ordered) + 1) * share)) - 1]
