"""A cell is the same number in whatever clothes a report puts it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answering.tables.figures import decimal_mark, figure, scale, written


@pytest.mark.parametrize(
    ("cell", "value", "unit"),
    [
        ("$ 1,452.4", "1452.4", "$"),
        ("(598)", "-598", ""),
        ("$(2,727)", "-2727", "$"),
        ("($2,727)", "-2727", "$"),
        ("157%", "157", "%"),
        ("(25)%", "-25", "%"),
        ("59 %", "59", "%"),
        ("-529.4", "-529.4", ""),
        ("−0.5", "-0.5", ""),
        ("1,212 (1)", "1212", ""),
        ("86.8*", "86.8", ""),
        ("1\u202f234,5", "1234.5", ""),
    ],
)
def test_a_cell_is_read_as_its_number(cell: str, value: str, unit: str) -> None:
    found = figure(cell, decimal="," if cell.endswith(",5") else ".")
    assert found is not None
    assert (found.value, found.unit, found.nil) == (Decimal(value), unit, False)


@pytest.mark.parametrize("cell", ["—", "-", "$ —", "- - %"])
def test_a_dash_is_nothing(cell: str) -> None:
    found = figure(cell)
    assert found is not None and found.nil and found.value == 0


@pytest.mark.parametrize("cell", ["", "n/a", "nm", "3 - 4.35", "Nov-2022", "2 to 5 years", "1.2.3"])
def test_words_ranges_and_dates_are_no_figures(cell: str) -> None:
    assert figure(cell) is None


def test_the_decimal_mark_is_that_of_the_cells_that_can_be_read_in_one_way_only() -> None:
    assert decimal_mark(["1.000", "2.345,6", "7"]) == ","
    assert decimal_mark(["1,000", "2,345.6", "7"]) == "."
    assert decimal_mark(["1,000", "7"]) == "."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(in millions)", "million"),
        ("(In thousands of U.S. dollars)", "thousand"),
        ("U.S. $ in thousands", "thousand"),
        ("€m", "million"),
        ("$'000", "thousand"),
        ("€ million", "million"),
        ("in months", ""),
    ],
)
def test_what_the_numbers_are_in_is_read_from_the_head(text: str, expected: str) -> None:
    assert scale(text) == expected


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2))
def test_what_is_written_reads_as_the_same_number(value: Decimal) -> None:
    found = figure(written(value))
    assert found is not None
    assert abs(found.value - value) <= Decimal("0.005")
