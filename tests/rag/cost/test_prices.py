"""Prices of outside models: dated, and refused when nobody looked for long."""

from __future__ import annotations

from datetime import date

import pytest

from rag.cost.prices import PriceTable, price
from rag.errors import PriceUnavailable
from rag.settings import PriceSettings

LOOKED = date(2026, 8, 5)


def test_a_call_costs_its_fresh_cached_and_written_tokens() -> None:
    assert price("gpt-5.6-luna", LOOKED).cost(3000, 300) == pytest.approx(0.00096)
    assert price("gpt-5.6-luna", LOOKED).cost(3000, 300, cached_tokens=1000) == pytest.approx(0.00078)


def test_a_long_prompt_costs_more_for_all_of_its_tokens() -> None:
    found = price("gpt-5.5", LOOKED)
    assert found.cost(272_000, 0) == pytest.approx(1.36)
    assert found.cost(272_001, 0) == pytest.approx(2.72001)


def test_a_price_that_nobody_knows_is_refused_and_never_zero() -> None:
    with pytest.raises(PriceUnavailable, match=r"no price of 'secret-1'.*\[prices.\"secret-1\"\].*as_of"):
        price("secret-1", LOOKED)


def test_a_price_is_good_for_ninety_days() -> None:
    assert price("gpt-5.5", date(2026, 11, 3)).input == 5.0
    with pytest.raises(PriceUnavailable, match="last looked up on 2026-08-05"):
        price("gpt-5.5", date(2026, 11, 4))


def test_a_price_dated_ahead_does_not_stay_young_for_years() -> None:
    table = PriceTable({"ours": PriceSettings(input=4, output=20, as_of=date(2027, 11, 1))})
    with pytest.raises(PriceUnavailable, match="2027-11-01, which is to come"):
        table.price("ours", date(2026, 11, 21))
    assert table.price("ours", date(2027, 10, 31)).input == 4


def test_a_price_holds_from_its_day_on() -> None:
    assert PriceTable().find("claude-sonnet-5", date(2026, 8, 31)) is None
    assert PriceTable().find("claude-sonnet-5", date(2026, 9, 1))


def test_a_price_of_rag_toml_goes_first_and_grows_old_too() -> None:
    table = PriceTable(
        {"gpt-5.5": PriceSettings(input=4, output=20, currency="EUR", as_of=date(2026, 11, 1))}
    )
    found = table.price("gpt-5.5", date(2026, 11, 21))
    assert (found.input, found.currency, found.source) == (4, "EUR", "rag.toml")
    with pytest.raises(PriceUnavailable):
        table.price("gpt-5.5", date(2027, 3, 1))
