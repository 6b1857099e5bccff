"""What a request will cost, before it is made: likely (p50), hardly more (p95), and the most it can.

Expected seconds come from the speeds that the ledger saw for this tenant and tier, and follow the last
requests (`speeds.followed`). How far off that was is the distribution from which p95 is read (split conformal
prediction: Lei et al. 2018, arXiv 1604.04173). The most is every token computed at twice the slowest speed
seen, and of what others charge, twice as many tokens of the prompt as were counted: those are guessed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from rag.cost.budget import Amounts
from rag.cost.meter import Work, charge
from rag.cost.prices import Price
from rag.cost.rates import Rates
from rag.cost.speeds import (
    FOLLOWED,
    MARGIN,
    Sample,
    Speeds,
    Surprise,
    compared,
    fit,
    recalled,
    sample_of,
    surprises,
)
from rag.cost.tables import ledger
from rag.store.database import Database

if TYPE_CHECKING:
    from rag.cost.guardrail import Plan

REMEMBERED = 500
ENOUGH = 20
REFIT_AFTER = 5
LEARNED_FROM = ("ok", "degraded", "escalated")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request may use. `basis`: "measured" over `samples` requests, or "assumed"."""

    p50: Amounts
    p95: Amounts
    most: Amounts
    external_most: float
    basis: str
    samples: int

    def within(self, most: Estimate) -> Estimate:
        """The same, but nowhere above the most of an estimate from before."""
        return replace(
            self,
            p50=least(self.p50, most.most),
            p95=least(self.p95, most.most),
            most=least(self.most, most.most),
            external_most=min(self.external_most, most.external_most),
        )

    def __add__(self, other: Estimate) -> Estimate:
        """That of both, one after the other: p95 is then on the safe side."""
        return Estimate(
            self.p50 + other.p50,
            self.p95 + other.p95,
            self.most + other.most,
            self.external_most + other.external_most,
            self.basis if self.basis == other.basis else "assumed",
            min(self.samples, other.samples),
        )


def least(one: Amounts, other: Amounts) -> Amounts:
    """The lesser amount of each unit."""
    return Amounts(*(min(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)))


@dataclass(slots=True)
class History:
    """The last requests of one tenant and tier, and how far off the speeds were for the last packed ones."""

    samples: deque[Sample]
    surprises: deque[Surprise] = field(default_factory=partial(deque[Surprise], maxlen=FOLLOWED))
    speeds: Speeds = Speeds()
    unseen: int = field(default=REFIT_AFTER)  # requests since the speeds were fitted
    is_current: bool = False  # whether they know of the last request


class Estimator:
    """Estimates from what the ledger knows, kept in memory. `price_of`: what a tier pays others per token;
    `exchange`: what one unit of that currency is worth in ours."""

    def __init__(
        self,
        database: Database,
        rates: Rates,
        *,
        price_of: Callable[[str], Price | None],
        exchange: Callable[[str], float],
    ) -> None:
        self._database, self._rates = database, rates
        self._price_of, self._exchange = price_of, exchange
        self._second = charge(Work(decode_s=1.0), rates)
        self._histories: dict[tuple[str, str], History] = {}
        self._lock = threading.RLock()  # requests are opened and settled in threads

    def estimate(self, tenant: str, plan: Plan, *, packed: bool = False) -> Estimate:
        """What a plan may use. `packed`: its prompt is what the model will read, not the most it could be.
        Raises PriceUnavailable for a tier whose price is missing or old."""
        speeds = self._speeds(tenant, plan.tier)
        price = self._price_of(plan.tier)

        def external(completion_tokens: float, per_guess: float) -> float:
            if price is None:
                return 0.0
            read = plan.prompt_tokens * per_guess
            return price.cost(read, round(completion_tokens)) * self._exchange(price.currency)

        usually = speeds.read[0] if packed else 1.0
        dearest = external(plan.max_tokens, MARGIN * max(1.0, speeds.read[1]))
        expected = self._packed if packed else self._planned
        p50_s, p95_s, lengths = expected(speeds, plan)
        most_s = speeds.most(plan.prompt_tokens, plan.max_tokens)
        p95_s = min(most_s, p95_s)
        usual, long = (min(each, plan.max_tokens) for each in lengths)
        return Estimate(
            p50=self._amounts(min(p95_s, p50_s), external(usual, usually)),
            p95=self._amounts(p95_s, external(long, max(1.0, usually))),
            most=self._amounts(most_s, dearest),
            external_most=dearest,
            basis="measured" if speeds.samples else "assumed",
            samples=speeds.samples,
        )

    def learn(
        self, tenant: str, tier: str, work: Work, plan: Plan | None = None, packed: Plan | None = None
    ) -> None:
        """Remember what a request took that ended well; `plan`: what it was estimated for, `packed`: and what
        for once its prompt was packed."""
        with self._lock:
            history = self._history(tenant, tier)
            sample = sample_of(work, self._rates.cores, plan, packed)
            history.samples.append(sample)
            history.surprises.extend(surprises([sample], history.speeds))
            history.unseen, history.is_current = history.unseen + 1, False

    @staticmethod
    def _planned(speeds: Speeds, plan: Plan) -> tuple[float, float, tuple[float, float]]:
        """p50 and p95 in seconds, and of the answer's tokens, before anything was found."""
        typical_s = speeds.typical(plan.prompt_tokens, plan.max_tokens)
        lengths = (speeds.completion, speeds.completion_p95)
        return typical_s * speeds.ratio_p50, typical_s * speeds.ratio_p95, lengths

    @staticmethod
    def _packed(speeds: Speeds, plan: Plan) -> tuple[float, float, tuple[float, float]]:
        """The same with the prompt known."""
        typical_s = speeds.typical_packed(plan.prompt_tokens, plan.max_tokens)
        p50, p95 = speeds.packed.get(bool(plan.prompt_tokens), (1.0, max(1.0, speeds.ratio_p95)))
        return typical_s * p50, typical_s * p95, speeds.written

    def _amounts(self, busy_s: float, external: float) -> Amounts:
        each = self._second
        return Amounts(each.booked * busy_s + external, each.energy_wh * busy_s, each.co2e_g * busy_s, busy_s)

    def _speeds(self, tenant: str, tier: str) -> Speeds:
        with self._lock:
            history = self._history(tenant, tier)
            if history.is_current or len(history.samples) < ENOUGH:
                return history.speeds
            if history.unseen >= REFIT_AFTER or history.speeds.samples < 2 * ENOUGH:
                samples = list(history.samples)
                history.speeds, history.unseen = fit(samples), 0
                history.surprises.clear()
                history.surprises.extend(surprises(samples[-FOLLOWED:], history.speeds))
            # Quicker than to fit, and how the last one went is what tells most.
            history.speeds = replace(history.speeds, packed=compared(history.surprises))
            history.is_current = True
            return history.speeds

    def _history(self, tenant: str, tier: str) -> History:
        if (tenant, tier) not in self._histories:
            self._histories[tenant, tier] = History(deque(self._recall(tenant, tier), REMEMBERED))
        return self._histories[tenant, tier]

    def _recall(self, tenant: str, tier: str) -> list[Sample]:
        rows = ledger.c
        columns = (
            rows.prompt_tokens,
            rows.cached_tokens,
            rows.completion_tokens,
            rows.prefill_s,
            rows.decode_s,
            rows.busy_s,
            rows.details,
        )
        query = select(*columns).where(
            rows.tenant == tenant, rows.tier == tier, rows.outcome.in_(LEARNED_FROM)
        )
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(rows.seq.desc()).limit(REMEMBERED)).all()
        return [recalled(tier, *row) for row in reversed(found)]
