"""Cron expressions against a minute-by-minute search, and the days when clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.schedule import Schedule
from rag.errors import SettingsError

BERLIN = ZoneInfo("Europe/Berlin")


def times(text: str, start: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next times from a UTC moment on, as UTC."""
    schedule, moment, found = Schedule.parse(text, zone), datetime.fromisoformat(start), []
    for _ in range(count):
        moment = schedule.next_after(moment)
        found.append(moment.astimezone(UTC).strftime("%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("*/15 * * * *", "2026-11-21 06:14", "2026-11-21 06:15"),
        ("*/15 * * * *", "2026-11-21 06:15", "2026-11-21 06:30"),
        ("0 22 * * mon-fri", "2026-11-20 22:00", "2026-11-23 22:00"),
        ("5,35 8-10/2 * jan,jul *", "2026-11-21 06:14", "2027-01-01 08:05"),
        ("0 0 29 2 *", "2026-11-21 00:00", "2028-02-29 00:00"),
        ("0 12 13 * fri", "2026-11-21 00:00", "2026-11-27 12:00"),
        ("0 12 1-7 * */7", "2026-11-21 00:00", "2026-12-06 12:00"),
        ("0 0 * * 7", "2026-11-21 00:00", "2026-11-22 00:00"),
        ("@hourly", "2026-12-31 23:00", "2027-01-01 00:00"),
        ("@monthly", "2026-11-21 00:00", "2026-12-01 00:00"),
        ("50/5 * * * *", "2026-11-21 00:00", "2026-11-21 00:50"),
    ],
)
def test_the_next_time_comes_after_the_moment(text: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert Schedule.parse(text).next_after(moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_time_that_the_clock_skips_is_made_up_for_once() -> None:
    # 2026-03-29 02:00 becomes 03:00 in Berlin, which is 01:00 UTC.
    assert times("30 2 * * *", "2026-03-28T12:00+00:00", 2) == ["03-29 01:30", "03-30 00:30"]


def test_a_time_that_comes_twice_counts_once() -> None:
    # 2026-10-25 03:00 becomes 02:00 in Berlin, which is 01:00 UTC.
    assert times("30 2 * * *", "2026-10-24T12:00+00:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_a_schedule_of_every_hour_has_no_hole_when_clocks_change() -> None:
    assert times("0,30 * * * *", "2026-10-24T23:45+00:00", 5) == [
        "10-25 00:00",
        "10-25 00:30",
        "10-25 01:00",
        "10-25 01:30",
        "10-25 02:00",
    ]
    assert times("0,30 * * * *", "2026-03-29T00:15+00:00", 3) == ["03-29 00:30", "03-29 01:00", "03-29 01:30"]


def test_a_midnight_that_does_not_exist_is_not_lost() -> None:
    # In Cairo the clock goes from 00:00 to 01:00 on 2026-04-24, which is 22:00 UTC.
    assert times("0 0 * * *", "2026-04-23T12:00+00:00", 1, ZoneInfo("Africa/Cairo")) == ["04-23 22:00"]


numbers = st.integers(0, 59)


@settings(max_examples=40, deadline=None)
@given(
    minute=st.lists(numbers, min_size=1, max_size=3),
    step=st.integers(1, 24),
    weekday=st.sampled_from(["*", "mon", "2-4", "0,6", "*/2"]),
    day=st.sampled_from(["*", "1", "10-20", "*/9"]),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
)
def test_no_fitting_minute_is_passed_over(
    minute: list[int], step: int, weekday: str, day: str, start: datetime
) -> None:
    text = f"{','.join(map(str, minute))} */{step} {day} * {weekday}"
    schedule, moment = Schedule.parse(text), start.replace(tzinfo=UTC)
    found = schedule.next_after(moment)
    each = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while each < found and not (
        each.minute in minute and each.hour % step == 0 and is_the_day(each, day, weekday)
    ):
        each += timedelta(minutes=1)
    assert found == each
    assert found.minute in minute and found.hour % step == 0 and is_the_day(found, day, weekday)


DAYS = {"*": set(range(1, 32)), "1": {1}, "10-20": set(range(10, 21)), "*/9": {1, 10, 19, 28}}
WEEKDAYS = {"*": set(range(7)), "mon": {1}, "2-4": {2, 3, 4}, "0,6": {0, 6}, "*/2": {0, 2, 4, 6}}


def is_the_day(moment: datetime, day: str, weekday: str) -> bool:
    """The meaning of the day fields, written down a second time."""
    by_day, by_weekday = moment.day in DAYS[day], moment.isoweekday() % 7 in WEEKDAYS[weekday]
    either = day[0] != "*" and weekday[0] != "*"
    return by_day or by_weekday if either else by_day and by_weekday


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "minute hour day month weekday"),
        ("60 * * * *", "minute '60' is not in 0-59"),
        ("* * * foo *", "month 'foo' is not in 1-12 or jan"),
        ("*/0 * * * *", "minute step '0' is not in 1-60"),
        ("9-3 * * * *", "minute 9-3 runs backwards"),
        ("0 0 30 2 *", "a day that never comes"),
        ("@sometimes", "@hourly"),
        ("-1 * * * *", "minute '' is not in"),
    ],
)
def test_an_expression_that_makes_no_sense_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("*", r"\*")):
        Schedule.parse(text)
