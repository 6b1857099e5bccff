"""What a table answers, with which cells, and when it rather says nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rag.answering.tables.grid import grids
from rag.answering.tables.reckoner import reckon
from rag.answering.tables.reckoning import Reckoning

STAFF = """Wage bill of the group (in thousands):

|  | 2025 | 2024 | 2023 |
|---|---|---|---|
| Wages and salaries | $ 1,200 | $ 1,000 | $ 800 |
| Social security | 300 | 250 | 200 |
| Pension costs | 50 | (20) | — |
| Total staff costs | 1,550 | 1,230 | 1,000 |
"""
AREAS = """
|  | Domestic |  | International |  |
|---|---|---|---|---|
|  | 2025 | 2024 | 2025 | 2024 |
| Discount rate | 4.0% | 3.5% | 2.0% | 2.5% |
| Deferred tax assets: |  |  |  |  |
| Losses carried forward | 10 | 20 | 30 | 40 |
| Provisions | 1 | 2 | 3 | 4 |
| Total | 11 | 22 | 33 | 44 |
"""
PRICES = """Range of the share price

|  | Low | High |
|---|---|---|
| First quarter 2025 | $ 5.99 | $ 8.40 |
| Second quarter 2025 | $ 4.79 | $ 6.48 |
"""


def ask(question: str, text: str = STAFF) -> Reckoning | None:
    return reckon(question, grids(text))


@pytest.mark.parametrize(
    ("question", "value", "formula"),
    [
        ("What were the pension costs in 2025?", "50", ""),
        ("What was the change in social security from 2024 to 2025?", "50", "300 − 250"),
        ("What was the change in pension costs between 2025 and 2024?", "70", "50 − (-20)"),
        (
            "What is the percentage change in wages and salaries in 2025 from 2024?",
            "20",
            "(1,200 − 1,000) / 1,000",
        ),
        ("What is the average of total staff costs for 2024 and 2025?", "1390", "(1,230 + 1,550) / 2"),
        ("What is the average social security?", "250", "(300 + 250 + 200) / 3"),
        ("What is the ratio of pension costs to social security in 2025?", "0.1666", "50 / 300"),
        (
            "What are wages and salaries as a percentage of total staff costs in 2023?",
            "80",
            "800 / 1,000",
        ),
        ("How many years did social security exceed $220 thousand?", "2", "300 > 220, 250 > 220"),
        ("In which year were the total staff costs the lowest?", "2023", "1,000 < 1,230 < 1,550"),
        ("How much did pension costs decrease by from 2024 to 2025?", "-70", "(-20) − 50"),
    ],
)
def test_the_table_answers_with_its_formula(question: str, value: str, formula: str) -> None:
    found = ask(question)
    assert found is not None
    assert abs(found.values[0] - Decimal(value)) < Decimal("0.001")
    assert found.formula == formula


def test_a_figure_is_told_in_the_unit_and_scale_of_its_table() -> None:
    found = ask("What were the wages and salaries in 2024?")
    assert found is not None
    assert found.text.startswith("$1,000 thousand")
    assert (found.unit, found.scale) == ("$", "thousand")


def test_several_years_are_told_in_the_order_asked() -> None:
    found = ask("What was social security in 2023 and 2025 respectively?")
    assert found is not None
    assert found.values == (200, 300)


def test_the_column_is_chosen_by_its_words() -> None:
    found = ask("What was the international discount rate in 2024?", AREAS)
    assert found is not None
    assert found.values == (Decimal("2.5"),)


def test_what_stands_under_a_heading_is_summed_without_its_total() -> None:
    text = "Credits | Amount\nTax credits: |\nFederal | 40\nState | 5\nTotal | 45"
    found = ask("What was the sum of all tax credits?", text)
    assert found is not None
    assert found.formula == "40 + 5"


def test_two_things_at_one_time_may_stand_in_columns() -> None:
    found = ask(
        "In the first quarter of 2025, what is the difference between the low and high price?", PRICES
    )
    assert found is not None
    assert found.values == (Decimal("2.41"),)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What were the pension costs in 2021?", STAFF),  # no such column
        ("What were the travel costs in 2025?", STAFF),  # no such row
        ("What were the pension costs?", STAFF),  # which year?
        ("What was the discount rate in 2025?", AREAS),  # here or abroad?
        ("What was the percentage change in pension costs from 2023 to 2024?", STAFF),  # of nothing
        ("What were the total staff costs before pension costs in 2025?", STAFF),  # something else
        (
            "How many years did social security exceed $1 million?",
            STAFF.replace("(in thousands)", ""),
        ),  # of what?
        ("Who pays social security?", STAFF),
        ("What was social security in 2025? " * 40, STAFF),
    ],
)
def test_what_is_not_sure_is_not_answered(question: str, text: str) -> None:
    assert ask(question, text) is None


def test_two_tables_that_say_different_things_answer_nothing() -> None:
    other = STAFF.replace("300", "333")
    assert reckon("What was social security in 2025?", [*grids(STAFF), *grids(other)]) is None
    assert reckon("What was social security in 2025?", [*grids(STAFF), *grids(STAFF)]) is not None
