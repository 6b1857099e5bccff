"""How fast requests went here, how much they wrote, and how far off expectations were."""

from __future__ import annotations

import json
import math
import statistics
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rag.cost.meter import Work

if TYPE_CHECKING:
    from rag.cost.guardrail import Plan

MARGIN = 2.0
LATEST, LATE = 25, 100  # requests, from which p50 and p95 are read
FOLLOWED = LATE + LATEST  # requests that are followed
FRESH = (0.05, 0.2, 0.5)  # how much of a request's surprise goes into what is expected of the next
FEW = 19  # below so many values the largest of them is no p95
LEARNING = 0.02  # how quickly the share that is left above p95 is put right
# Until this machine has measured its own: a model of 8 billion parameters on two cores is not slower.
SLOWEST_PREFILL_S, SLOWEST_DECODE_S, SLOWEST_REST_S = 0.05, 0.5, 5.0

Surprise = tuple[bool, float]  # whether a model was asked, and how far off what was expected was


@dataclass(frozen=True, slots=True)
class Sample:
    """What one request took: tokens read, those of them not cached, written, and machine-seconds.

    `planned_tokens`, `planned_most`: the prompt and the answer that it was estimated for. `packed_tokens`,
    `packed_most`: the same once the prompt was packed, 0 where no model was asked; None: not told.
    """

    planned_tokens: int
    planned_most: float
    prompt_tokens: int
    fresh_tokens: int
    completion_tokens: int
    prefill_s: float
    decode_s: float
    rest_s: float
    packed_tokens: int | None = None
    packed_most: float = 0.0

    @property
    def busy_s(self) -> float:
        """All of it."""
        return self.prefill_s + self.decode_s + self.rest_s


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds per token and beside tokens, typical and slowest; how requests compared with the typical.

    Of a packed prompt more is known: `fresh_s` per token not cached, `kept` tokens that usually need not be
    computed, `read` tokens in the end for each that was counted (median, most), `written` tokens of the
    answers that a model wrote (median, p95), and `packed`: how requests compared with what is typical then
    (p50, p95), by whether a model was asked.
    """

    prefill_s: float = SLOWEST_PREFILL_S
    decode_s: float = SLOWEST_DECODE_S
    rest_s: float = SLOWEST_REST_S
    completion: float = math.inf
    slowest: tuple[float, float, float] = (SLOWEST_PREFILL_S, SLOWEST_DECODE_S, SLOWEST_REST_S)
    completion_p95: float = math.inf
    ratio_p50: float = 1.0
    ratio_p95: float = 1.0
    samples: int = 0
    fresh_s: float = SLOWEST_PREFILL_S
    kept: float = 0.0
    read: tuple[float, float] = (1.0, 1.0)
    written: tuple[float, float] = (math.inf, math.inf)
    packed: Mapping[bool, tuple[float, float]] = field(default_factory=dict)

    def typical_packed(self, prompt_tokens: float, max_tokens: float) -> float:
        """Seconds that are to be expected of a prompt whose tokens are counted; of none, without a model."""
        fresh = max(0.0, prompt_tokens - self.kept)
        return self.rest_s + fresh * self.fresh_s + min(self.written[0], max_tokens) * self.decode_s

    def typical(self, prompt_tokens: float, max_tokens: float) -> float:
        """Seconds that are to be expected."""
        return self.rest_s + prompt_tokens * self.prefill_s + min(self.completion, max_tokens) * self.decode_s

    def most(self, prompt_tokens: float, max_tokens: float) -> float:
        """Seconds that it will not exceed."""
        prefill_s, decode_s, rest_s = self.slowest
        slow = rest_s + prompt_tokens * prefill_s + max_tokens * decode_s
        return MARGIN * slow if self.samples else slow


def sample_of(work: Work, cores: int, plan: Plan | None, packed: Plan | None = None) -> Sample:
    """What an estimate learns from work, and from what was planned before and after packing."""
    return Sample(
        planned_tokens=plan.prompt_tokens if plan else work.prompt_tokens,
        planned_most=plan.max_tokens if plan else math.inf,
        prompt_tokens=work.prompt_tokens,
        fresh_tokens=work.prompt_tokens - work.cached_tokens,
        completion_tokens=work.completion_tokens,
        prefill_s=work.prefill_s,
        decode_s=work.decode_s,
        rest_s=work.cpu_s / cores,
        packed_tokens=packed.prompt_tokens if packed else None,
        packed_most=packed.max_tokens if packed else 0.0,
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
    told = json.loads(details)
    plan, packed = told.get("plan", {}), told.get("packed", {}).get(tier, {})
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
        packed_tokens=packed.get("prompt_tokens"),
        packed_most=packed.get("max_tokens", 0.0),
    )


def fit(samples: Sequence[Sample]) -> Speeds:
    """Typical and slowest speeds, and how far off the typical was of late; of packed prompts see `compared`.
    The oldest sample comes first."""
    middle = statistics.median
    # By whole prompts, as they were planned in the end: what was cached of them, or never put into them, is
    # part of what is typical, and of how far off that is.
    prefills = [each.prefill_s / each.prompt_tokens for each in samples if each.prompt_tokens] or [0.0]
    fresh = [each.prefill_s / each.fresh_tokens for each in samples if each.fresh_tokens > 0] or [0.0]
    decodes = [each.decode_s / each.completion_tokens for each in samples if each.completion_tokens] or [0.0]
    rests = [each.rest_s for each in samples]
    written = sorted(each.completion_tokens for each in samples)
    plain = Speeds(
        middle(prefills),
        middle(decodes),
        middle(rests),
        middle(written),
        samples=len(samples),
        fresh_s=middle(fresh),
        kept=kept(samples),
        read=read(samples),
        written=lengths(samples),
    )
    ratios = [
        each.busy_s / max(1e-9, plain.typical(each.planned_tokens, each.planned_most))
        for each in samples[-LATE:]
    ]
    return replace(
        plain,
        slowest=(max(fresh), max(decodes), max(rests)),
        completion_p95=quantile(written, 0.95),
        # What else the machine does slows all requests of an hour alike: the last ones tell best.
        ratio_p50=middle(ratios[-LATEST:]),
        ratio_p95=quantile(sorted(ratios), 0.95),
    )


def kept(samples: Sequence[Sample]) -> float:
    """Tokens of a packed prompt that were not computed of late: the instructions always, passages by luck,
    and what a plan counts for the frame and no prompt has."""
    spared = [each.packed_tokens - each.fresh_tokens for each in samples[-LATE:] if each.packed_tokens]
    return statistics.median(spared) if spared else 0.0


def read(samples: Sequence[Sample]) -> tuple[float, float]:
    """Tokens of prompts for each that was counted before: others have a vocabulary of their own, and theirs
    are guessed. Median of late, and most."""
    shares = [each.prompt_tokens / each.packed_tokens for each in samples if each.packed_tokens]
    return (statistics.median(shares[-LATE:]), max(shares)) if shares else (1.0, 1.0)


def lengths(samples: Sequence[Sample]) -> tuple[float, float]:
    """Tokens of the last answers that a model wrote: median and p95."""
    late = sorted([each.completion_tokens for each in samples if each.completion_tokens][-LATE:])
    return (statistics.median(late), quantile(late, 0.95)) if late else (math.inf, math.inf)


def compared(surprises: Iterable[Surprise]) -> dict[bool, tuple[float, float]]:
    """How requests compared with what was typical of their packed prompts: p50 and p95, by whether a model
    was asked. The oldest comes first."""
    told: dict[bool, list[float]] = {True: [], False: []}
    for asked, surprise in surprises:
        told[asked].append(surprise)
    levels = {asked: followed(offs) for asked, offs in told.items() if offs}
    both = [residual for _, residuals in levels.values() for residual in residuals]
    found = {}
    for asked, (level, residuals) in levels.items():
        upper = bound(residuals if len(residuals) >= FEW else both, 0.95)
        found[asked] = math.exp(level), math.exp(level + max(0.0, upper))
    return found


def surprises(samples: Iterable[Sample], plain: Speeds) -> list[Surprise]:
    """How far requests with a packed prompt were from what was expected of them: logarithms of the ratio."""
    return [
        (
            bool(each.packed_tokens),
            math.log(
                max(1e-9, each.busy_s) / max(1e-9, plain.typical_packed(each.packed_tokens, each.packed_most))
            ),
        )
        for each in samples
        if each.packed_tokens is not None
    ]


def followed(offs: Sequence[float]) -> tuple[float, list[float]]:
    """How far off the next request will be, and how far off that guess was for each so far, the oldest first.

    What else a machine does slows all requests of some minutes alike, so the last ones tell best: exponential
    smoothing, as quick as would have guessed best so far.
    """
    return min((smoothed(offs, fresh) for fresh in FRESH), key=lambda told: sum(map(abs, told[1])))


def smoothed(offs: Sequence[float], fresh: float) -> tuple[float, list[float]]:
    """The same at one speed."""
    level = statistics.median(offs[:5])
    residuals = []
    for each in offs:
        residuals.append(each - level)
        level += fresh * (each - level)
    return level, residuals


def bound(residuals: Sequence[float], share: float) -> float:
    """What that share of the next residuals will stay below.

    The conformal quantile of the last ones, at a level that rises where too many were above it and falls
    where too few were: adaptive conformal inference (Gibbs and Candès 2021, arXiv 2106.00170).
    """
    ordered: list[float] = []
    above = 1 - share
    for number, each in enumerate(residuals):
        if number >= FEW:
            missed = each > quantile(ordered, 1 - above)
            above = min(4 * (1 - share), max(0.0, above + LEARNING * (1 - share - missed)))
        insort(ordered, each)
        if len(ordered) > LATE:
            ordered.remove(residuals[number - LATE])
    return quantile(ordered, 1 - above)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The conformal quantile: the ceil((n + 1) * share)-th of n values in order."""
    return ordered[min(len(ordered), math.ceil((len(ordered) + 1) * share)) - 1]
