"""Closing a period: the row of the time nobody asked, so that requests and idle time add up to the period."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, or_, select

from rag.cost.energy import BANDS, Band
from rag.cost.energy_log import Metered, last_source, metered
from rag.cost.ledger import ASKED, WORKING, Ending, Entry, Head, Kind, Ledger
from rag.cost.meter import Charge, idle
from rag.cost.rates import Rates
from rag.cost.tables import ledger
from rag.errors import BadRequest

HOUR_S, DAY_S = 3600, 86_400
GRACE_S = 60.0  # what was done at the end of a day may be booked and metered a little later
SUMS = ("busy_s", "depreciation", "energy", "opex", "external", "marginal", "energy_wh", "co2e_g")


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of provisioned time: what its requests took, and what is left for nobody.

    `metered`: what the energy source showed, over which part of the time.
    """

    start: float
    end: float
    requests: int
    sums: dict[str, float]
    idle: Charge
    metered: Metered

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    @property
    def utilisation(self) -> float:
        """Busy seconds over provisioned seconds."""
        return self.sums["busy_s"] / self.seconds if self.seconds else 0.0

    @property
    def cost(self) -> float:
        """All money: requests and idle time."""
        return (
            sum(self.sums[name] for name in ("depreciation", "energy", "opex", "external")) + self.idle.booked
        )

    @property
    def energy_wh(self) -> float:
        """All energy at the machine."""
        return self.sums["energy_wh"] + self.idle.energy_wh

    @property
    def co2e_g(self) -> float:
        """All carbon."""
        return self.sums["co2e_g"] + self.idle.co2e_g


@dataclass(frozen=True, slots=True)
class Closed:
    """How far time is accounted for, and the row that says so."""

    until: float
    seq: int


@dataclass(frozen=True, slots=True)
class Closing:
    """Closes the periods of a ledger with the rates in force. `band`: of the power model here."""

    ledger: Ledger
    rates: Rates
    band: Band

    def close_period(self, until: float) -> Head:
        """Write the idle row from the last one up to `until`, a whole hour, since meters are read into hours.

        Raises BadRequest if it is none, or not later.
        """
        with self.ledger.database.writing() as connection:
            return self._close(connection, until)

    def close_days(self, now: float) -> int:
        """Close every UTC day that is over and was not closed yet; how many there were."""
        now -= GRACE_S
        with self.ledger.database.reading() as connection:
            if closed(connection).until // DAY_S >= now // DAY_S:
                return 0
        with self.ledger.database.writing() as connection:
            days = 0
            while (nearest := (closed(connection).until // DAY_S + 1) * DAY_S) <= now:
                self._close(connection, nearest)
                days += 1
        return days

    def open_period(self, now: float) -> Period:
        """The period that is not closed yet, as it is now."""
        with self.ledger.database.reading() as connection:
            return self.since(connection, closed(connection), now)

    def since(self, connection: Connection, before: Closed, end: float) -> Period:
        """The period behind a closed one, with its idle part by the rates in force.

        Where energy was read: what that showed, the power model for what it did not see, less what requests
        booked.
        """
        rows, start = ledger.c, before.until
        # A row may have waited for the lock while its period was closed: then it belongs to the next.
        is_new = or_(rows.at >= start, rows.seq > before.seq)
        is_whole = case(((rows.outcome == Ending.ESCALATED) | rows.kind.not_in(ASKED), 0), else_=1)
        columns = [
            func.coalesce(func.sum(is_whole), 0),
            *(func.coalesce(func.sum(rows[name]), 0.0) for name in SUMS),
        ]
        within = (rows.kind.in_(WORKING), rows.at < end, is_new)
        count, *found = connection.execute(select(*columns).where(*within)).one()
        sums = dict(zip(SUMS, map(float, found), strict=True))
        idle_s = end - start - sums["busy_s"]
        source = last_source(connection)
        seen = metered(connection, source, start, end) if source else Metered()
        wh, band = None, self.band
        if seen.covered_s:
            load = min(1.0, sums["busy_s"] / (end - start))
            unseen_s = max(0.0, end - start - seen.covered_s)
            band = BANDS.get(source, self.band)
            wh = seen.wh + unseen_s / 3600 * self.rates.watts(load) - sums["energy_wh"]
        return Period(start, end, count, sums, idle(idle_s, wh, self.rates, band=band), seen)

    def _close(self, connection: Connection, until: float) -> Head:
        before = closed(connection)
        if until % HOUR_S:
            raise BadRequest(f"{until:.0f} is no whole hour; close up to {until // HOUR_S * HOUR_S:.0f}")
        if until <= before.until:
            raise BadRequest(f"time up to {before.until:.0f} is closed already; close a later one")
        period = self.since(connection, before, until)
        # Midnight itself belongs to the next day.
        entry = Entry(Kind.IDLE, until - 0.001, charge=period.idle, details=_told(period))
        return self.ledger.append(connection, entry)


def closed(connection: Connection) -> Closed:
    """Up to when time is accounted for: the end of the last closed period, or the opening."""
    rows = ledger.c
    query = select(rows.seq, rows.at, rows.details, rows.kind).where(rows.kind.in_((Kind.IDLE, Kind.OPENING)))
    found = connection.execute(query.order_by(rows.seq.desc()).limit(1)).one()
    until = json.loads(found.details)["end"] if found.kind == Kind.IDLE else found.at
    return Closed(float(until), found.seq)


def _told(period: Period) -> dict[str, Any]:
    told = {"start": period.start, "end": period.end, "requests": period.requests}
    return {**told, "metered_wh": period.metered.wh, "metered_s": period.metered.covered_s}
