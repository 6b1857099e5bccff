"""The rows or columns that make up a time which none is called by: the months of a quarter or half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.answering.tables.grid import Line
from rag.answering.tables.periods import Period
from rag.answering.tables.survey import span_of

Way = list[Period]  # parts that together are one time


def ways(times: Sequence[Period], half: int = 0) -> list[list[Way]]:
    """For each time asked for the ways to put it together, itself first.

    A half of a year takes the year that the question names.
    """
    if half:
        year = times[0].year if times else 0
        quarters = [Period(year, quarter) for quarter in range(2 * half - 1, 2 * half + 1)]
        months = [Period(year, 0, month) for month in range(6 * half - 5, 6 * half + 1)]
        return [[quarters, months]]
    return [[[each], *parts(each)] for each in times]


def undated(found: Sequence[Way]) -> list[Way]:
    """The same ways without the year, which something else tells; without those that were nothing else."""
    plain = [[replace(each, year=0) for each in way] for way in found]
    return [way for way in plain if Period() not in way]


def parts(time: Period) -> list[Way]:
    """The quarters, or the months, of a year; the months of a quarter."""
    if time.month:
        return []
    if time.quarter:
        return [[Period(time.year, 0, month) for month in range(3 * time.quarter - 2, 3 * time.quarter + 1)]]
    quarters = [Period(time.year, quarter) for quarter in range(1, 5)]
    return [quarters, [Period(time.year, 0, month) for month in range(1, 13)]]


def candidates(lines: Sequence[Line], among: Sequence[int], found: Sequence[Way]) -> list[list[int]]:
    """The lines for each part of the first way of which no part is missing; empty where none is whole."""
    for way in found:
        fitting = [[n for n in among if is_at(lines[n], each)] for each in way]
        if all(fitting):
            return fitting
    return []


def is_at(line: Line, time: Period) -> bool:
    """Whether a line is this very time, not only a part of it."""
    return any(span_of(each) == span_of(time) and time.agrees(each) for each in line.periods)
