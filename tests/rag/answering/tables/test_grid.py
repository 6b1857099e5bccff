"""Columns know what stands above them, rows what they stand under, cells where they are."""

from __future__ import annotations

import pytest

from rag.answering.tables.grid import grids, spanned
from rag.answering.tables.periods import Period, periods

REPORT = """Orders by region, in the year just ended.

|  |  | Years ended June 30, |  |
|---|---|---|---|
|  | 2025 | 2024 | 2023 |
|  |  | (in thousands) |  |
| Orders: |  |  |  |
| North (1) | $ 1,200 | $ 1,100 | $ 900 |
| South | 300 | (40) | — |
|  | 1,500 | 1,060 | 900 |
| Costs: |  |  |  |
| Freight | 70 | 65 | 61 |
"""


def test_a_report_is_read_with_its_heads_sections_and_scale() -> None:
    (grid,) = grids(REPORT, heading="Annual report")
    assert [column.periods for column in grid.columns] == [
        (Period(2025, 0, 6, 30),),
        (Period(2024, 0, 6, 30),),
        (Period(2023, 0, 6, 30),),
    ]
    assert [(row.section, row.label) for row in grid.rows] == [
        ("Orders:", "North"),
        ("Orders:", "South"),
        ("Orders:", ""),
        ("Costs:", "Freight"),
    ]
    assert grid.scale == "thousand"
    assert grid.rows[2].name == "total Orders:"
    assert "Annual report" in grid.caption


def test_every_cell_is_a_span_of_the_text() -> None:
    (grid,) = grids(REPORT)
    for row in grid.cells:
        for cell in row:
            assert REPORT[cell.start : cell.end] == cell.text


@pytest.mark.parametrize(
    "text",
    [
        "Region | 2025 | 2024\nNorth | 5 | 4\nSouth | 3 | 2",
        "| Region | 2025 | 2024 |\n| North | 5 | 4 |\n| South | 3 | 2 |",
    ],
)
def test_bars_at_the_ends_make_no_difference(text: str) -> None:
    (grid,) = grids(text)
    assert [row.label for row in grid.rows] == ["North", "South"]
    assert [column.label for column in grid.columns] == ["2025", "2024"]


def test_years_in_the_middle_head_a_table_of_their_own() -> None:
    first, second = grids("Item | 2025 | 2024\nPens | 5 | 4\n | 2023 | 2022\nPens | 3 | 2")
    assert [column.label for column in second.columns] == ["2023", "2022"]
    assert first.cells[0][0].text == "5" and second.cells[0][0].text == "3"


def test_a_table_without_a_number_is_none() -> None:
    assert grids("Name | Town\nAnna | Kiel\nBert | Bonn") == []


def test_a_turned_table_has_the_same_cells() -> None:
    (grid,) = grids(REPORT)
    turned = grid.turn()
    assert turned.rows == grid.columns and turned.columns == grid.rows
    assert turned.cells[0][1] == grid.cells[1][0]
    assert turned.turn() == grid


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (["", "Sales", "", "Costs", ""], ["", "Sales", "Sales", "Costs", "Costs"]),
        (["", "", "Years", "", ""], ["", "Years", "Years", "Years", "Years"]),
        (["", "", "Home", "", "", "Abroad", ""], ["", "Home", "Home", "Home", "Abroad", "Abroad", "Abroad"]),
    ],
)
def test_a_wide_head_names_all_that_it_spans(head: list[str], expected: list[str]) -> None:
    assert spanned(head) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fiscal 2019", [Period(2019)]),
        ("FY19", [Period(2019)]),
        ("December 31, 2019", [Period(2019, 0, 12, 31)]),
        ("31 March 2020", [Period(2020, 0, 3, 31)]),
        ("Q4 2019 and 2018", [Period(2019, 4), Period(2018)]),
        ("the first quarter of 2018", [Period(2018, 1)]),
        ("January 26 and April 27, 2019", [Period(2019, 0, 1, 26), Period(2019, 0, 4, 27)]),
        ("2,019 units at $2019", []),
        ("the first three", []),
    ],
)
def test_times_are_read(text: str, expected: list[Period]) -> None:
    assert periods(text) == expected


def test_a_year_is_any_day_of_it_but_a_day_is_not_any_year() -> None:
    assert Period(2019).agrees(Period(2019, 0, 12, 31))
    assert not Period(2019).agrees(Period(2018, 0, 12, 31))
    assert not Period(2019).agrees(Period(0, 0, 12, 31))
