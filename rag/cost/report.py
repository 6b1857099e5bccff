"""The report of a stretch of time: what it cost, for whom, and whether that was worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from rag.cost.accountant import Accountant
from rag.cost.break_even import BreakEven, MeanQuestion, break_even
from rag.cost.closing import closed
from rag.cost.constants import Constant, constants
from rag.cost.energy import Band
from rag.cost.hindsight import EstimateQuality, Savings, estimate_quality, savings
from rag.cost.ledger import WORKING, Ending, Kind
from rag.cost.meter import idle
from rag.cost.prices import PriceTable
from rag.cost.rates import Rates, exchange
from rag.cost.tables import ledger
from rag.cost.usage import By, UsageLine, usage
from rag.errors import BadRequest

IDLE_SUMS = ("busy_s", "depreciation", "energy", "opex", "energy_wh", "co2e_g")  # nobody is paid for it
# Settings whose constant is called otherwise, and the grid, which is found by country.
CONSTANT_NAMES = {"price": "server_price"}


@dataclass(frozen=True, slots=True)
class Idle:
    """The time that no request took. `cost` is the sum of `depreciation`, `energy` and `opex`."""

    seconds: float = 0.0
    cost: float = 0.0
    energy_wh: float = 0.0
    co2e_g: float = 0.0
    depreciation: float = 0.0
    energy: float = 0.0
    opex: float = 0.0

    def __add__(self, other: Idle) -> Idle:
        return Idle(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Idle)))


@dataclass(frozen=True, slots=True)
class CostReport:
    """All of it. Money in `currency`; energy at the machine, times `rates.pue` in money and carbon.

    `whole`: requests, lookups and ingestion; `asked`: requests alone; `worded`: those that a model worded.
    `gap`: what the ledger lacks of what it had, so the report too; empty: nothing.
    """

    start: float
    end: float
    currency: str
    rates: Rates
    band: Band
    whole: UsageLine
    asked: UsageLine
    worded: UsageLine
    idle: Idle
    by: By
    lines: tuple[UsageLine, ...]
    outcomes: dict[str, int]
    savings: Savings
    estimates: EstimateQuality | None
    break_even: tuple[BreakEven, ...]
    defaults: tuple[Constant, ...]
    gap: str = ""

    @property
    def hours(self) -> float:
        """Provisioned hours."""
        return (self.end - self.start) / 3600

    @property
    def cost(self) -> float:
        """Everything: requests and idle time."""
        return self.whole.booked + self.idle.cost

    @property
    def utilisation(self) -> float:
        """Busy over provisioned time."""
        return self.whole.busy_s / (self.end - self.start)

    @property
    def answered(self) -> int:
        """Requests that got an answer."""
        return sum(self.outcomes.get(name, 0) for name in (Ending.OK, Ending.CACHED, Ending.DEGRADED))

    @property
    def per_query(self) -> float | None:
        """The cost of an answer, fully loaded; None without one."""
        return self.cost / self.answered if self.answered else None

    @property
    def marginal_per_query(self) -> float | None:
        """What an answer less would have saved."""
        return self.asked.marginal / self.answered if self.answered else None

    @property
    def energy_wh(self) -> float:
        """Everything."""
        return self.whole.energy_wh + self.idle.energy_wh

    @property
    def co2e_g(self) -> float:
        """Everything."""
        return self.whole.co2e_g + self.idle.co2e_g


def report(
    accountant: Accountant,
    *,
    since: float,
    until: float | None = None,
    by: By = By.TIER,
    tenant: str | None = None,
) -> CostReport:
    """The report from `since`, but not before the ledger was opened, up to now or `until`. Raises BadRequest
    for a stretch that is none.

    `tenant` narrows the lines to one; the totals are of the machine.
    """
    database, rates = accountant.database, accountant.rates
    end = accountant.clock() if until is None else until
    with database.reading() as connection:
        start = max(since, connection.execute(select(ledger.c.at).where(ledger.c.seq == 1)).scalar_one())
        if start >= end:
            raise BadRequest(f"nothing lies between {start:.0f} and {end:.0f}: give an earlier beginning")
        unused = idle_of(connection, accountant, start, end)
        estimates = estimate_quality(connection, start, end)
        band = accountant.closing.since(connection, closed(connection), end).idle.band
    endings = usage(database, since=start, until=end, by=By.OUTCOME, kinds=[Kind.REQUEST])
    made = CostReport(
        start=start,
        end=end,
        currency=rates.currency,
        rates=rates,
        band=band,
        whole=line_of_all(usage(database, since=start, until=end)),
        asked=line_of_all(usage(database, since=start, until=end, kinds=[Kind.REQUEST])),
        worded=line_of_all(usage(database, since=start, until=end, kinds=[Kind.REQUEST], least_written=1)),
        idle=unused,
        by=by,
        lines=usage(database, since=start, until=end, by=by, tenant=tenant),
        outcomes={line.name: line.requests for line in endings},
        savings=savings(database, rates, start, end),
        estimates=estimates,
        break_even=(),
        defaults=defaults_of(accountant),
        gap=accountant.ledger.gap(),
    )
    return with_break_even(made, accountant) if made.worded.requests else made


def with_break_even(made: CostReport, accountant: Accountant) -> CostReport:
    """The same beside the APIs of cost.break_even_with, for questions as long as those that a model worded:
    an API would have to word those that were quoted here for no token at all."""
    settings = accountant.settings
    table, on = PriceTable(settings.prices), datetime.fromtimestamp(made.end, UTC).date()
    worded, count = made.worded, made.worded.requests
    mean = MeanQuestion(worded.prompt_tokens / count, worded.completion_tokens / count, worded.busy_s / count)
    found = [
        break_even(
            mean,
            made.rates,
            price,
            worth=exchange(price.currency, settings.cost),
            per_hour=count / made.hours,
            on=on,
        )
        for name in settings.cost.break_even_with
        if (price := table.find(name, on))
    ]
    return replace(made, break_even=tuple(found))


def line_of_all(lines: Sequence[UsageLine]) -> UsageLine:
    """The one line of everything; of zeros when there was nothing."""
    return next(iter(lines), UsageLine("all", 0, 0, 0, 0, *([0.0] * 9)))


def mean_question(made: CostReport) -> MeanQuestion:
    """What an answered question took on average."""
    asked, count = made.asked, made.answered
    return MeanQuestion(asked.prompt_tokens / count, asked.completion_tokens / count, asked.busy_s / count)


def idle_of(connection: Connection, accountant: Accountant, start: float, end: float) -> Idle:
    """The idle time of closed periods that end within, and that of what is not closed yet."""
    rows = ledger.c
    sums = [func.coalesce(func.sum(rows[name]), 0.0) for name in IDLE_SUMS]
    within = (rows.kind == Kind.IDLE, rows.at >= start, rows.at < end)
    seconds, *money, wh, co2e_g = map(float, connection.execute(select(*sums).where(*within)).one())
    found = Idle(seconds, sum(money), wh, co2e_g, *money)
    before = closed(connection)
    if end <= before.until:
        return found
    if start <= before.until:
        rest = accountant.closing.since(connection, before, end).idle
    else:
        busy = select(func.coalesce(func.sum(rows.busy_s), 0.0)).where(rows.kind.in_(WORKING))
        busy_s = float(connection.execute(busy.where(rows.at >= start, rows.at < end)).scalar_one())
        rest = idle(end - start - busy_s, None, accountant.rates)
    parts = (rest.depreciation, rest.energy, rest.opex)
    return found + Idle(rest.busy_s, rest.booked, rest.energy_wh, rest.co2e_g, *parts)


def defaults_of(accountant: Accountant) -> tuple[Constant, ...]:
    """The figures that nobody set, with where they are from."""
    figures, hardware = constants(), accountant.settings.hardware
    return tuple(
        figures.grid(hardware.grid) if name == "grid_g_kwh" else figures[CONSTANT_NAMES.get(name, name)]
        for name in accountant.rates.defaults
    )
