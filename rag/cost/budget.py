"""What a budget is: whose, how long, counted in what; and the balance that a request draws on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from rag.settings import BudgetSettings

NANO = 1_000_000_000
LEAST = 1e-6
MOST = 1e9  # of any unit: what a balance can hold, and no budget allows more


class Scope(StrEnum):
    """Whose budget it is."""

    TENANT = "tenant"
    USER = "user"
    KEY = "key"
    GROUP = "group"
    COLLECTION = "collection"


class Span(StrEnum):
    """How long it lasts, in UTC."""

    DAY = "day"
    MONTH = "month"


class Unit(StrEnum):
    """What it is counted in: money of cost.currency, Wh at the machine, gCO2e, or machine-seconds."""

    MONEY = "money"
    WH = "wh"
    GCO2E = "gco2e"
    SECONDS = "seconds"


class OnLimit(StrEnum):
    """What happens to a request that does not fit: less is given, or nothing."""

    DEGRADE = "degrade"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a request uses, in every unit a budget may have; told to the billionth, as it is booked."""

    money: float = 0.0
    wh: float = 0.0
    gco2e: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.money + other.money,
            self.wh + other.wh,
            self.gco2e + other.gco2e,
            self.seconds + other.seconds,
        )

    def of(self, unit: Unit) -> float:
        """The amount in one unit."""
        return round(float(getattr(self, unit)), 9)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a subject may use in a day or month; subject "*": each one of the scope has this much.

    `soft`: the part of it from which on there are warnings. `source`: "settings", or who set it.
    """

    tenant: str
    scope: Scope
    subject: str
    period: Span
    unit: Unit
    limit: float
    soft: float = 0.8
    on_limit: OnLimit = OnLimit.DEGRADE
    source: str = "settings"

    @property
    def id(self) -> str:
        """Its name: one budget for the same subject, period and unit."""
        return ":".join((self.tenant, self.scope, self.subject, self.period, self.unit))

    @classmethod
    def of(cls, settings: BudgetSettings) -> Budget:
        """The budget that rag.toml declares."""
        return cls(
            tenant=settings.tenant,
            scope=Scope(settings.scope),
            subject=settings.subject,
            period=Span(settings.period),
            unit=Unit(settings.unit),
            limit=settings.limit,
            soft=settings.soft,
            on_limit=OnLimit(settings.on_limit),
        )


@dataclass(frozen=True, slots=True)
class Account:
    """The balance of one budget that one request would draw on; `left` in the budget's unit."""

    budget: Budget
    subject: str
    start: str
    limit: float
    spent: float
    reserved: float

    @property
    def key(self) -> tuple[str, str, str]:
        """Which balance it is."""
        return self.budget.id, self.subject, self.start

    @property
    def left(self) -> float:
        """What is neither spent nor reserved."""
        return round(self.limit - self.spent - self.reserved, 9)

    @property
    def used(self) -> float:
        """The part of the limit that is spent."""
        return self.spent / self.limit


def budget_of(row: Row[Any]) -> Budget:
    """A budget as the database has it."""
    return Budget(
        tenant=row.tenant,
        scope=Scope(row.scope),
        subject=row.subject,
        period=Span(row.period),
        unit=Unit(row.unit),
        limit=row.amount / NANO,
        soft=row.soft,
        on_limit=OnLimit(row.on_limit),
        source=row.source,
    )


def kind_of(budget_id: str) -> str:
    """A budget without its subject, as the ledger may keep it: names of users stay out of there."""
    _tenant, scope, *_subject, period, unit = budget_id.split(":")
    return f"{scope}:{period}:{unit}"


def start_of(period: Span, at: float) -> str:
    """The name of the day or month that a moment lies in: 2026-11-21, 2026-11."""
    day = datetime.fromtimestamp(at, UTC).date().isoformat()
    return day if period is Span.DAY else day[:7]


def end_of(period: Span, start: str) -> str:
    """When the day or month of that name is over, and its budgets start anew, for people."""
    if period is Span.DAY:
        after = datetime.strptime(start, "%Y-%m-%d") + timedelta(days=1)
    else:
        after = (datetime.strptime(start, "%Y-%m") + timedelta(days=31)).replace(day=1)
    return f"{after:%Y-%m-%d %H:%M} UTC"


def figure(amount: float) -> str:
    """An amount for people, with four figures that count, or all before the point: never 2e+04."""
    digits = max(0, 3 - math.floor(math.log10(abs(amount)))) if amount else 0
    told = f"{amount:,.{digits}f}"
    return told.rstrip("0").rstrip(".") if digits else told


def unit_name(unit: Unit, currency: str) -> str:
    """A unit for people."""
    return {Unit.MONEY: currency, Unit.WH: "Wh", Unit.GCO2E: "gCO2e", Unit.SECONDS: "machine-seconds"}[unit]


def nano(amount: float) -> int:
    """Whole billionths; of more than any budget allows, that."""
    return round(min(amount, MOST) * NANO)
