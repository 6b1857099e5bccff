"""Requests and idle time add up to the period, whatever happens in it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select, update

from rag.cost.accountant import Accountant
from rag.cost.energy import NODE, Band, Reading
from rag.cost.energy_log import EnergyLog
from rag.cost.ledger import Ending, Entry, Kind
from rag.cost.meter import Work
from rag.cost.tables import ledger, reservations
from rag.errors import BadRequest, Cancelled, Overloaded
from rag.settings import Settings
from rag.store.database import Database
from rag.types import Principal
from tests.rag.cost.conftest import MACHINE, NOON, Books, Clock

MONEY = ("depreciation", "energy", "opex", "external")
MIDNIGHT = NOON + 12 * 3600


@dataclass
class Plug:
    """A meter of the whole machine."""

    watts: float
    name: str = "http"
    band: Band = field(default=NODE)

    def read(self) -> Reading | None:
        return Reading(watts=self.watts)


def total(connection: Connection, *names: str) -> float:
    return sum(
        float(connection.execute(select(func.sum(ledger.c[name]))).scalar_one() or 0) for name in names
    )


def test_a_closed_period_costs_its_hours(books: Books, clock: Clock) -> None:
    accountant = books()
    accountant.open(Principal(), tier="small").settle(Work(decode_s=900.0, external=2.0))
    accountant.closing.close_period(NOON + 3600)
    with accountant.database.reading() as connection:
        assert total(connection, *MONEY) == pytest.approx(accountant.rates.hour(0.25) + 2.0, rel=1e-3)
        assert total(connection, "energy_wh") == pytest.approx(accountant.rates.watts(0.25), rel=1e-3)


def test_time_is_closed_once(books: Books) -> None:
    accountant = books()
    accountant.closing.close_period(NOON + 3600)
    with pytest.raises(BadRequest, match="closed already"):
        accountant.closing.close_period(NOON + 3600)


def test_time_is_closed_by_the_hour(books: Books) -> None:
    with pytest.raises(BadRequest, match="no whole hour"):
        books().closing.close_period(NOON + 1800)


def test_every_day_that_is_over_is_closed_on_its_own(books: Books, clock: Clock) -> None:
    accountant = books()
    clock.now = MIDNIGHT + 2 * 86_400 + 59
    accountant.tick()
    assert accountant.closing.open_period(clock.now).start == MIDNIGHT + 86_400
    clock.now += 1
    accountant.tick()
    accountant.tick()
    with accountant.database.reading() as connection:
        idle = connection.execute(
            select(ledger.c.day, ledger.c.busy_s).where(ledger.c.kind == Kind.IDLE)
        ).all()
    assert [tuple(row) for row in idle] == [
        ("2026-11-21", 12 * 3600),
        ("2026-11-22", 86_400),
        ("2026-11-23", 86_400),
    ]


def test_a_request_that_waited_while_its_day_was_closed_belongs_to_the_next(
    books: Books, clock: Clock
) -> None:
    accountant = books()
    accountant.closing.close_period(MIDNIGHT)
    with accountant.database.writing() as connection:
        late = Entry(Kind.REQUEST, MIDNIGHT - 1, outcome=Ending.OK)
        accountant.ledger.append(connection, late)
    assert accountant.closing.open_period(MIDNIGHT + 3600).requests == 1
    accountant.closing.close_period(MIDNIGHT + 3600)
    assert accountant.closing.open_period(MIDNIGHT + 3700).requests == 0


def test_a_metered_period_has_the_energy_that_the_meter_showed(books: Books, clock: Clock) -> None:
    accountant = books()
    log = EnergyLog(accountant.database, Plug(150.0), clock=clock)
    for _ in range(61):
        log.sample()
        clock.now += 60
    clock.now = NOON + 3600
    accountant.open(Principal(), tier="small").settle(Work(decode_s=360.0))
    period = accountant.closing.open_period(NOON + 3600.5)
    assert period.metered.covered_s == pytest.approx(3600)
    assert period.energy_wh == pytest.approx(150.0, rel=1e-3)
    assert period.idle.energy_wh == pytest.approx(150 - 30, rel=0.01)
    assert period.idle.band is NODE


def test_what_the_meter_did_not_see_is_filled_by_the_power_model(books: Books, clock: Clock) -> None:
    accountant = books()
    log = EnergyLog(accountant.database, Plug(150.0), clock=clock)
    for _ in range(31):
        log.sample()
        clock.now += 60
    period = accountant.closing.open_period(NOON + 3600)
    assert period.energy_wh == pytest.approx(75 + 50, rel=1e-3)  # idle: 100 W


events = st.one_of(
    st.tuples(st.just("ask"), st.floats(0, 30), st.floats(0, 10)),
    st.tuples(
        st.sampled_from(["error", "leave", "die", "escalate", "restart"]), st.floats(0, 30), st.just(0.0)
    ),
    st.tuples(st.just("pass"), st.floats(0, 90_000), st.just(0.0)),
)


@settings(max_examples=25, deadline=None)
@given(workload=st.lists(events, min_size=1, max_size=20), watts=st.sampled_from([0.0, 180.0]))
def test_requests_and_idle_time_are_the_period_in_money_and_energy(
    migrated: Path, workload: list[tuple[str, float, float]], watts: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(migrated, folder)
        world = World(Path(folder), watts)
        for kind, seconds, cpu_s in workload:
            world.happen(kind, seconds, cpu_s)
        world.check()


class World:
    """A home to which things happen. What its period must cost is counted apart from the ledger."""

    def __init__(self, home: Path, watts: float) -> None:
        self.clock, self.watts = Clock(), watts
        self.database = Database(home)
        self.settings = Settings(home=home, hardware=MACHINE)
        self.accountant = self.books()
        self.log = EnergyLog(self.database, Plug(watts), clock=self.clock)
        self.external = 0.0
        if watts:
            self.log.sample()

    def books(self) -> Accountant:
        return Accountant(self.database, self.settings, clock=self.clock)

    def happen(self, kind: str, seconds: float, cpu_s: float) -> None:
        if kind == "pass":
            self.wait(seconds / 30 if self.watts else seconds)
            return
        if kind == "restart":
            self.accountant = self.books()
            return
        work = Work(prefill_s=seconds / 3, decode_s=seconds * 2 / 3, cpu_s=cpu_s, external=0.001)
        ticket = self.accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=10)
        self.wait(work.busy_s(4) + 1)
        if kind == "die":
            # As a process of another boot leaves it: nobody settles it, the next one finds it.
            with self.database.writing() as connection:
                connection.execute(update(reservations).values(lease_until=0.0))
            self.accountant.cpu.leave(ticket.mark)
            self.accountant = self.books()
            return
        self.external += work.external
        error = {"error": Overloaded("full"), "leave": Cancelled("gone")}.get(kind)
        if error:
            with pytest.raises(type(error)), ticket:
                ticket.add(work)
                raise error
        elif kind == "escalate":
            ticket.add(work)
            ticket.settle(Work(cpu_s=1.0), tier="large")
        else:
            ticket.settle(work)

    def wait(self, seconds: float) -> None:
        """Time passes, and somebody looks at the meter every four minutes."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + (240.0 if self.watts else seconds))
            if self.watts:
                self.log.sample()
            self.accountant.closing.close_days(self.clock.now)

    def check(self) -> None:
        self.wait(7200 - self.clock.now % 3600)
        self.accountant.closing.close_period(self.clock.now)
        rates, hours = self.accountant.rates, (self.clock.now - NOON) / 3600
        with self.database.reading() as connection:
            requests = ledger.c.kind == Kind.REQUEST
            busy_h = connection.execute(select(func.sum(ledger.c.busy_s)).where(requests)).scalar() or 0
            load = busy_h / 3600 / hours
            wh = total(connection, "energy_wh")
            money = total(connection, *MONEY)
        fixed = hours * (rates.depreciation_h + rates.opex_h) + self.external
        assert wh == pytest.approx(hours * (self.watts or rates.watts(load)), rel=1e-3)
        assert money == pytest.approx(fixed + rates.electricity(wh), rel=1e-3)
        assert self.accountant.ledger.verify().broken is None
        with self.database.reading() as connection:
            assert connection.execute(select(func.count()).select_from(reservations)).scalar() == 0
        self.database.close()
