"""What a stretch of time shows afterwards: what caches saved, and how good the estimates were."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass

from sqlalchemy import Connection, select

from rag.cost.ledger import Ending, Kind
from rag.cost.rates import Rates
from rag.cost.tables import ledger
from rag.cost.usage import By, usage
from rag.store.database import Database

JUDGED = 1000  # requests, the newest


@dataclass(frozen=True, slots=True)
class Savings:
    """What caches saved, as far as the rest of the period tells: money that was not booked."""

    cached_tokens: int
    by_prefix: float
    answers: int
    by_answers: float


@dataclass(frozen=True, slots=True)
class EstimateQuality:
    """How estimates compared with what requests took: shares within them, and the median error of p50."""

    requests: int
    within_most: float
    within_p95: float
    median_error: float


def savings(database: Database, rates: Rates, start: float, end: float) -> Savings:
    """Cached tokens at the speed of fresh ones, and remembered answers at the mean cost of others."""
    lines = {
        line.name: line
        for line in usage(database, since=start, until=end, by=By.OUTCOME, kinds=[Kind.REQUEST])
    }
    cached = lines.pop(Ending.CACHED, None)
    made = [lines[name] for name in (Ending.OK, Ending.DEGRADED) if name in lines]
    tokens = sum(line.cached_tokens for line in made)
    fresh = sum(line.prompt_tokens for line in made) - tokens
    second = rates.hour(1.0) / 3600
    per_token = sum(line.prefill_s for line in made) / fresh * second if fresh else 0.0
    count = sum(line.requests for line in made)
    each = sum(line.booked for line in made) / count if count else 0.0
    answers = cached.requests if cached else 0
    spared = max(0.0, answers * each - cached.booked) if cached else 0.0
    return Savings(tokens, tokens * per_token, answers, spared)


def estimate_quality(connection: Connection, start: float, end: float) -> EstimateQuality | None:
    """How the estimates of the last requests did that were measured, not assumed; None without any."""
    rows = ledger.c
    query = select(rows.details, rows.busy_s).where(
        rows.kind == Kind.REQUEST,
        rows.outcome.in_((Ending.OK, Ending.DEGRADED)),
        rows.at >= start,
        rows.at < end,
    )
    found = connection.execute(query.order_by(rows.seq.desc()).limit(JUDGED)).all()
    told = [(json.loads(row.details), row.busy_s) for row in found]
    # A row of a question that two tiers worked on has only a part of what was estimated.
    pairs = [(details["estimate"], busy_s) for details, busy_s in told if "tiers" not in details]
    judged = [(each, busy_s) for each, busy_s in pairs if each["basis"] == "measured" and busy_s > 0]
    if not judged:
        return None

    def share(name: str) -> float:
        return statistics.fmean(busy_s <= each[name]["seconds"] for each, busy_s in judged)

    errors = [abs(each["p50"]["seconds"] - busy_s) / busy_s for each, busy_s in judged]
    return EstimateQuality(len(judged), share("most"), share("p95"), statistics.median(errors))
