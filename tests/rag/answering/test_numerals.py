"""Numbers in words have the value that a reader gives them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rag.answering.facts import quantities
from rag.answering.numerals import clocked, numerals


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("at eight", [8]),
        ("twenty-eight days", [28]),
        ("twenty eight days", [28]),
        ("twenty-one", [21]),
        ("a hundred", [100]),
        ("one hundred and twenty-one dollars", [121]),
        ("two thousand three hundred forty-five", [2345]),
        ("five hundred thousand", [500_000]),
        ("two million, three hundred thousand", [2_000_000, 300_000]),
        ("three four five", [3, 4, 5]),
        ("two and three", [2, 3]),
        ("two hundred and three hundred", [200, 300]),
        ("a six-year plan", [6]),
        ("achtundzwanzig Tage", [28]),
        ("zweihundertfünf Tage", [205]),
        ("veinte y treinta", [20, 30]),
        ("пять и десять", [5, 10]),
        ("one of them, a thousandfold", []),
        ("Hunderte Stunden", []),
        ("hundert" * 5000, []),
    ],
)
def test_words_are_read_as_numbers(text: str, values: list[int]) -> None:
    assert [each.value for each in numerals(text)] == [Decimal(value) for value in values]


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("at half past nine", "at 9:30"),
        ("at quarter to one", "at 12:45"),
        ("um halb neun", "um 8:30"),
        ("um Viertel nach 3", "um 3:15"),
        ("at 9:00", "at 9"),
        ("after 12:00:30", "after 12:00:30"),
    ],
)
def test_a_clock_time_is_written_in_digits(text: str, digits: str) -> None:
    assert clocked(text) == digits


def test_a_number_in_words_keeps_its_unit() -> None:
    (days,) = quantities("Leave is two hundred and five days.")
    assert (days.written, days.unit) == ("two hundred and five", "day")
