"""What a negation, a bound and a number reach."""

from __future__ import annotations

import pytest

from rag.answering.scope import misbound, modifier_changed, negation_moved, wrong_column

PAY = "Employees get 48 euros per day in Germany and 62 euros per day in Norway."


@pytest.mark.parametrize(
    ("claim", "source", "moved"),
    [
        (
            "The board did not approve the budget.",
            "The board did not approve the merger, but approved the budget.",
            True,
        ),
        (
            "The board did not approve the merger.",
            "The board did not approve the merger, but approved the budget.",
            False,
        ),
        ("Taxis are reimbursed.", "Trains are reimbursed, taxis are not reimbursed.", False),
        ("Trains are not reimbursed.", "Trains are paid, taxis are not reimbursed.", True),
    ],
)
def test_a_negation_stays_with_what_it_denies(claim: str, source: str, moved: bool) -> None:
    assert bool(negation_moved(claim, source)) is moved


@pytest.mark.parametrize(
    ("claim", "source", "changed"),
    [
        ("A night is paid 140 euros.", "A night is paid up to 140 euros.", "140"),
        ("A night is paid at most 140 euros.", "A night is paid up to 140 euros.", ""),
        ("Employees work at home.", "Some employees work at home.", "employ"),
        ("All employees work at home.", "Some employees work at home.", "employ"),
        ("All employees work at home.", "Employees work at home.", "All"),
        ("Employees claim 48 euros.", "Employees may claim 48 euros.", "claim"),
        ("Employees may generously claim 48 euros.", "Employees may claim 48 euros.", ""),
    ],
)
def test_a_bound_or_quantifier_is_neither_dropped_nor_made_stronger(
    claim: str, source: str, changed: str
) -> None:
    assert modifier_changed(claim, source) == changed


@pytest.mark.parametrize(
    ("claim", "source", "wrong"),
    [
        ("Employees get 48 euros in Germany.", PAY, ""),
        ("Employees get 62 euros in Germany.", PAY, "62"),
        ("Employees get 62 euros in Norway.", PAY, ""),
        ("In Norway employees get 48 euros.", PAY, "48"),
        ("Sales were 7 million in 2019.", "Sales were 5 million in 2019, and 7 million in 2020.", "7"),
        ("Germany pays 48 euros.", "Germany and Norway pay 48 and 62 euros respectively.", "48"),
        (PAY, PAY, ""),
    ],
)
def test_a_number_stays_with_what_it_is_said_of(claim: str, source: str, wrong: str) -> None:
    assert misbound(claim, source) == wrong


def test_a_number_of_a_table_stays_in_its_column() -> None:
    header, row = "Item | Sales 2024 | Sales 2025", "Pens | 5 | 7"
    assert wrong_column("Sales of pens in 2025 were 5.", row, header) == "5"
    assert wrong_column("Sales of pens in 2025 were 7.", row, header) == ""
