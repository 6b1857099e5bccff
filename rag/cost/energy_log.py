"""Watt-hours by the hour out of what an energy source shows, over restarts and for several processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from rag.cost.energy import Counter, EnergySource, Reading
from rag.cost.tables import energy_hours, energy_readings
from rag.store.database import Database
from rag.store.processes import host

LEAST_GAP_S = 10.0
MOST_GAP_S = 300.0  # power is taken to change in a straight line between two readings, no longer than this
MOST_WATTS = 1000.0  # of one counter; a counter that may have run round unseen tells nothing
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Metered:
    """Energy of a stretch of time: `wh` over the `covered_s` seconds of it that the source saw."""

    wh: float = 0.0
    covered_s: float = 0.0


class EnergyLog:
    """What one source of this machine showed. Any process of the machine may sample it; none counts twice."""

    def __init__(
        self, database: Database, source: EnergySource, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._source, self._clock = database, source, clock
        machine, _, self._boot = host().partition("/")
        self._mine = {"source": source.name, "machine": machine}
        self._next = 0.0

    def sample(self) -> None:
        """Read the source and book what it took since the last time, at most once in ten seconds."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + LEAST_GAP_S
        if (reading := self._source.read()) is None:
            return
        with self._database.writing() as connection:
            row = connection.execute(select(energy_readings).filter_by(**self._mine)).one_or_none()
            now = self._clock()
            shown = {"at": now, "boot": self._boot, "reading": json.dumps(asdict(reading))}
            if row is None:
                connection.execute(insert(energy_readings).values(**self._mine, **shown))
                return
            if now - row.at < LEAST_GAP_S:  # another process was here
                return
            connection.execute(update(energy_readings).filter_by(**self._mine).values(**shown))
            if row.boot == self._boot:
                joules = taken(_reading(json.loads(row.reading)), reading, now - row.at)
                if joules is not None:
                    self._book(connection, row.at, now, joules / 3600)

    def between(self, start: float, end: float) -> Metered:
        """Energy from the hour of `start` up to the hour of `end`, of all machines that have this source."""
        with self._database.reading() as connection:
            return metered(connection, self._source.name, start, end)

    def _book(self, connection: Connection, start: float, end: float, wh: float) -> None:
        for hour in range(int(start // HOUR_S), int(end // HOUR_S) + 1):
            seconds = min(end, (hour + 1) * HOUR_S) - max(start, hour * HOUR_S)
            part = {"wh": wh * seconds / (end - start), "covered_s": seconds}
            here = {"hour": hour, **self._mine}
            more = {name: energy_hours.c[name] + value for name, value in part.items()}
            if not connection.execute(update(energy_hours).filter_by(**here).values(more)).rowcount:
                connection.execute(insert(energy_hours).values(**here, **part))


def metered(connection: Connection, source: str, start: float, end: float) -> Metered:
    """What a source showed from the hour of `start` up to the hour of `end`."""
    hours = energy_hours.c
    query = select(func.sum(hours.wh), func.sum(hours.covered_s)).where(
        hours.source == source, hours.hour >= int(start // HOUR_S), hours.hour < -(-end // HOUR_S)
    )
    wh, covered_s = connection.execute(query).one()
    return Metered(wh or 0.0, covered_s or 0.0)


def last_source(connection: Connection) -> str:
    """The name of the source that was read last; empty when none ever was."""
    query = select(energy_readings.c.source).order_by(energy_readings.c.at.desc()).limit(1)
    return connection.execute(query).scalar() or ""


def taken(before: Reading, now: Reading, seconds: float) -> float | None:
    """Joules between two readings of the machine; None when nobody can tell.

    A counter that is lower than before has run round once, if it cannot have done so twice.
    """
    if seconds > MOST_GAP_S or set(before.counters) != set(now.counters):
        return None
    joules = seconds * (before.watts + now.watts) / 2
    for name, counter in now.counters.items():
        more = counter.joules - before.counters[name].joules
        if counter.range_j and seconds * MOST_WATTS >= counter.range_j:
            return None
        more += counter.range_j if more < 0 else 0.0
        if not 0 <= more <= seconds * MOST_WATTS:
            return None
        joules += more
    return joules / now.efficiency


def _reading(told: dict[str, Any]) -> Reading:
    counters = {name: Counter(**each) for name, each in told.pop("counters").items()}
    return Reading(counters, **told)
