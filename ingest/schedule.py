"""When a source is read: cron expressions in a time zone, with sense on the days when clocks are changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from rag.errors import SettingsError

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = {
    name: at
    for at, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
WEEKDAYS = {name: at for at, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
# name, lowest, highest (7 is Sunday too), names
FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 7, WEEKDAYS),
)
# 29 February on a given weekday comes once in 28 years, and in 40 around a year like 2100.
HORIZON = timedelta(days=366 * 41)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Five fields: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly and so on.

    If both day fields are restricted, either is enough. A time that the clock skips is made up for by as much
    later; one that comes twice counts once, but for schedules of every hour (`*` or `*/n`), which go on.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    zone: tzinfo
    is_hourly: bool
    needs_both_days: bool

    @classmethod
    def parse(cls, text: str, zone: tzinfo = UTC) -> Schedule:
        """Read an expression. Raises SettingsError that names the field."""
        parts = MACROS.get(text.strip().lower(), text).split()
        if len(parts) != len(FIELDS):
            raise SettingsError(
                f"schedule {text!r} needs minute hour day month weekday, or is one of {', '.join(MACROS)}"
            )
        try:
            minutes, hours, days, months, weekdays = (
                values(part, *field) for part, field in zip(parts, FIELDS, strict=True)
            )
        except ValueError as error:
            raise SettingsError(f"schedule {text!r}: {error}") from None
        schedule = cls(
            text=text,
            minutes=minutes,
            hours=hours,
            days=frozenset(days),
            months=frozenset(months),
            weekdays=frozenset(day % 7 for day in weekdays),
            zone=zone,
            is_hourly=parts[1].startswith("*"),
            needs_both_days=parts[2].startswith("*") or parts[4].startswith("*"),
        )
        if next(schedule.dates(date(2000, 1, 1)), None) is None:
            raise SettingsError(f"schedule {text!r} names a day that never comes")
        return schedule

    def next_after(self, moment: datetime) -> datetime:
        """The first time after an aware moment, in the schedule's zone."""
        # A day earlier: what the clock skipped at its end is made up for on this day.
        for day in self.dates(moment.astimezone(self.zone).date() - timedelta(days=1)):
            if later := [each for each in self.moments(day) if each > moment]:
                return min(later).astimezone(self.zone)
        raise OverflowError(f"schedule {self.text!r} has no time after {moment}")

    def dates(self, first: date) -> Iterator[date]:
        """The days that fit, from this one on."""
        day, last = first, first + HORIZON
        while day <= last:
            if day.month in self.months and self._fits(day):
                yield day
            day += timedelta(days=1)

    def moments(self, day: date) -> Iterator[datetime]:
        """The times of one day, in UTC, not sorted."""
        for hour in self.hours:
            for minute in self.minutes:
                wall = datetime.combine(day, time(hour, minute), self.zone)
                # Where the clock skips this time, the offset before it holds, which is as much later.
                first = wall.astimezone(UTC)
                yield first
                again = wall.replace(fold=1).astimezone(UTC)
                if self.is_hourly and again > first:
                    yield again

    def _fits(self, day: date) -> bool:
        fitting = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return all(fitting) if self.needs_both_days else any(fitting)


def values(part: str, name: str, low: int, high: int, names: Mapping[str, int]) -> tuple[int, ...]:
    """The numbers of one field: lists of numbers, ranges and steps. Raises ValueError."""
    found: set[int] = set()
    for each in part.lower().split(","):
        span, slash, stride = each.partition("/")
        step = number(stride, f"{name} step", 1, high + 1, {}) if slash else 1
        if span == "*":
            start, end = low, high if name != "day of week" else 6
        else:
            first, dash, last = span.partition("-")
            start = number(first, name, low, high, names)
            end = number(last, name, low, high, names) if dash else high if slash else start
        if end < start:
            raise ValueError(f"{name} {span} runs backwards")
        found.update(range(start, end + 1, step))
    return tuple(sorted(found))


def number(text: str, name: str, low: int, high: int, names: Mapping[str, int]) -> int:
    """A number or a name within the limits of its field."""
    if text in names:
        return names[text]
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        allowed: Sequence[str] = list(names)
        raise ValueError(
            f"{name} {text!r} is not in {low}-{high}{' or ' + ', '.join(allowed) if allowed else ''}"
        )
    return int(text)
