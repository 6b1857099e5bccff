"""Watt-hours out of readings: wraps, restarts, gaps and several processes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy import update

from rag.cost.energy import COUNTERS, Band, Counter, Reading
from rag.cost.energy_log import EnergyLog, taken
from rag.cost.tables import energy_readings
from rag.store.database import Database
from tests.rag.cost.conftest import Clock

HOUR = 1_795_262_400.0


@dataclass
class Shown:
    """A source that shows what it is told to."""

    joules: float = 0.0
    watts: float = 0.0
    range_j: float = 262_143.0
    answers: bool = True
    name: str = "rapl"
    band: Band = field(default=COUNTERS)

    def read(self) -> Reading | None:
        return Reading({"p": Counter(self.joules, self.range_j)}, self.watts) if self.answers else None


def test_counters_and_power_become_watt_hours(database: Database, clock: Clock) -> None:
    source = Shown()
    log = EnergyLog(database, source, clock=clock)
    log.sample()
    clock.now += 60
    source.joules, source.watts = 3600.0, 120.0  # 0 to 120 W in a straight line: 60 W on average, 1 Wh
    log.sample()
    found = log.between(HOUR, HOUR + 3600)
    assert found.wh == pytest.approx(1.0 + 1.0)
    assert found.covered_s == 60


def test_a_counter_that_runs_round_goes_on(database: Database, clock: Clock) -> None:
    source = Shown(joules=262_000.0)
    log = EnergyLog(database, source, clock=clock)
    log.sample()
    clock.now += 100
    source.joules = 3457.0
    log.sample()
    assert log.between(HOUR, HOUR + 3600).wh == pytest.approx(1.0)


def test_a_gap_in_which_a_counter_may_have_run_round_twice_counts_as_not_seen() -> None:
    before, now = Reading({"p": Counter(0, 262_143.0)}), Reading({"p": Counter(50, 262_143.0)})
    assert taken(before, now, 200) == 50
    assert taken(before, now, 290) is None
    assert taken(Reading(watts=100), Reading(watts=100), 301) is None


def test_a_counter_that_began_anew_counts_as_not_seen() -> None:
    assert taken(Reading({"p": Counter(9000, 262_143.0)}), Reading({"p": Counter(5, 262_143.0)}), 20) is None


def test_readings_from_before_a_restart_of_the_machine_are_no_beginning(
    database: Database, clock: Clock
) -> None:
    source = Shown(joules=10.0)
    log = EnergyLog(database, source, clock=clock)
    log.sample()
    with database.writing() as connection:
        connection.execute(update(energy_readings).values(boot="another"))
    clock.now += 60
    source.joules = 500.0
    log.sample()
    assert log.between(HOUR, HOUR + 3600).covered_s == 0


def test_what_spans_an_hour_is_divided(database: Database, clock: Clock) -> None:
    source = Shown()
    clock.now = HOUR + 3570
    log = EnergyLog(database, source, clock=clock)
    log.sample()
    clock.now += 90
    source.joules = 10_800.0
    log.sample()
    assert log.between(HOUR, HOUR + 3600).wh == pytest.approx(1.0)
    assert log.between(HOUR + 3600, HOUR + 7200).wh == pytest.approx(2.0)


def test_two_processes_that_read_the_same_meter_count_it_once(database: Database, clock: Clock) -> None:
    source = Shown()
    one, other = (EnergyLog(database, source, clock=clock) for _ in range(2))
    one.sample()
    for _ in range(10):
        clock.now += 30
        source.joules += 360
        one.sample()
        other.sample()
    assert one.between(HOUR, HOUR + 3600).wh == pytest.approx(1.0)


def test_a_source_that_falls_silent_leaves_its_time_uncovered(database: Database, clock: Clock) -> None:
    source = Shown()
    log = EnergyLog(database, source, clock=clock)
    log.sample()
    source.answers = False
    clock.now += 60
    log.sample()
    assert log.between(HOUR, HOUR + 3600).covered_s == 0
