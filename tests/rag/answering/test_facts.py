"""Facts are read the same however they are written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rag.answering import facts


def values(text: str) -> set[Decimal]:
    return {value for each in facts.quantities(text) for value in each.values}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1,000 units", "1000 units"),
        ("1.234.567", "1,234,567"),
        ("2.5 million", "2,500,000"),
        ("twenty-five days", "25 days"),
        ("three thousand", "3000"),
        ("zwölf Tage", "12 days"),
        ("3,5 Prozent", "3.5%"),
    ],
)
def test_a_number_is_the_same_in_other_clothes(left: str, right: str) -> None:
    assert values(left) & values(right)


def test_another_number_is_another_number() -> None:
    assert not values("1,001") & values("1,000")
    assert not values("0.5") & values("5")


@pytest.mark.parametrize(
    ("text", "unit"),
    [("$40", "$"), ("40 €", "€"), ("40 percent", "%"), ("40 working days", "day"), ("40 km", "km")],
)
def test_a_unit_is_found_before_and_after_its_number(text: str, unit: str) -> None:
    assert facts.quantities(text)[0].unit == unit


@pytest.mark.parametrize(
    "text", ["2026-03-01", "1.3.2026", "1 March 2026", "March 1, 2026", "1st of March 2026", "1. März 2026"]
)
def test_a_date_is_the_same_in_other_clothes(text: str) -> None:
    assert facts.dates(text) == [facts.Date(2026, 3, 1)]


def test_less_of_a_date_lies_within_more_of_it() -> None:
    assert facts.Date(2026, 3, None).within(facts.Date(2026, 3, 1))
    assert not facts.Date(2026, 3, 1).within(facts.Date(2026, 3, None))


def test_names_are_runs_of_capitalised_words() -> None:
    assert facts.names("Yesterday the Duke Richard II met Emma of Paris.") == [
        ("yesterday",),
        ("duke", "richard", "ii"),
        ("emma", "of", "paris"),
    ]


def test_a_name_with_of_is_one_name_and_an_of_behind_a_name_is_none() -> None:
    assert facts.names("the Museum of the Sea, and Kiel of all places") == [
        ("museum", "of", "the", "sea"),
        ("kiel",),
    ]


def test_a_code_is_an_identifier_and_an_ordinal_is_not() -> None:
    assert facts.identifiers("The CT-200X of the 3rd floor, revision B7") == ["ct-200x", "b7"]
