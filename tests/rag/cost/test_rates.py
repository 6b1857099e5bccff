"""What an hour of the machine costs."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from rag.cost.constants import constants
from rag.cost.rates import exchange, rates_of
from rag.errors import SettingsError
from rag.settings import CostSettings, HardwareSettings, PriceSettings, TierSettings
from tests.rag.cost.conftest import MACHINE


def test_an_hour_costs_depreciation_electricity_with_the_room_and_operation() -> None:
    rates = rates_of(MACHINE, CostSettings())
    assert rates.depreciation_h == pytest.approx(1.0)
    assert rates.watts(0.5) == 200
    assert rates.hour(0.5) == pytest.approx(1.0 + 200 / 1000 * 1.5 * 0.2 + 0.5)
    assert rates.core_hour == pytest.approx(rates.hour(1.0) / 4)


def test_the_cpu_server_of_the_reference_costs_what_the_reference_says() -> None:
    server = HardwareSettings(
        price=3000, idle_watts=150, busy_watts=150, price_kwh=0.2, pue=1.54, life_years=5
    )
    assert rates_of(server, CostSettings(currency="USD")).hour(1.0) == pytest.approx(0.115, abs=0.0005)


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), -1.0])
def test_a_figure_that_none_can_be_is_refused_where_it_is_set(figure: float) -> None:
    for made in (
        lambda: HardwareSettings(price=figure),
        lambda: HardwareSettings(busy_watts=figure),
        lambda: CostSettings(exchange={"USD": figure}),
        lambda: CostSettings(max_per_query=figure),
        lambda: PriceSettings(input=figure, output=1, as_of=date(2026, 11, 1)),
        lambda: TierSettings(kind="remote", urls=("https://llm.example.org",), url_prices=(figure,)),
    ):
        with pytest.raises(ValidationError):
            made()


def test_what_nobody_set_is_named_as_a_default() -> None:
    assert rates_of(MACHINE, CostSettings()).defaults == ()
    assert set(rates_of(HardwareSettings(pue=1.2), CostSettings()).defaults) == {
        "price",
        "life_years",
        "idle_watts",
        "busy_watts",
        "price_kwh",
        "opex_hour",
        "grid_g_kwh",
        "embodied_kg",
    }


def test_every_default_has_a_unit_a_range_a_source_and_a_date() -> None:
    for each in constants().all:
        assert each.low <= each.value <= each.high, each.name
        assert each.unit and each.source and each.date


def test_the_grid_of_a_country_carries_the_two_figures_of_its_sources() -> None:
    rates = rates_of(HardwareSettings(grid="fr"), CostSettings())
    assert (rates.grid_low, rates.grid_g_kwh, rates.grid_high) == (44, 50, 56)


def test_a_country_without_figures_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="'zz'.*fr.*world.*grid_g_kwh"):
        rates_of(HardwareSettings(grid="zz"), CostSettings())


def test_money_in_another_currency_is_refused_until_somebody_says_what_it_is_worth() -> None:
    with pytest.raises(SettingsError, match="one EUR is worth in CHF.*exchange"):
        rates_of(HardwareSettings(), CostSettings(currency="CHF"))
    assert exchange("EUR", CostSettings(currency="CHF", exchange={"EUR": 0.95})) == 0.95


def test_a_machine_that_takes_more_when_idle_is_refused() -> None:
    with pytest.raises(SettingsError, match="idle_watts is 400"):
        rates_of(HardwareSettings(idle_watts=400), CostSettings())
