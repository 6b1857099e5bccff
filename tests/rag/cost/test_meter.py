"""What work costs, and that work and idleness together are the hour."""

from __future__ import annotations

import pytest

from rag.cost.energy import NODE
from rag.cost.meter import Work, charge, idle
from rag.cost.rates import rates_of
from rag.settings import CostSettings
from tests.rag.cost.conftest import MACHINE

RATES = rates_of(MACHINE, CostSettings())


def test_work_pays_for_its_part_of_a_full_hour() -> None:
    made = charge(Work(prefill_s=18, decode_s=16, cpu_s=8), RATES)  # 36 s of the machine: 1 % of an hour
    assert made.busy_s == 36
    assert made.depreciation == pytest.approx(0.01)
    assert made.opex == pytest.approx(0.005)
    assert made.energy_wh == pytest.approx(3.0)
    assert made.energy == pytest.approx(0.003 * 1.5 * 0.2)
    assert made.booked == pytest.approx(RATES.hour(1.0) / 100)


def test_fully_loaded_has_the_idle_time_in_it_and_marginal_only_what_was_saved() -> None:
    made = charge(Work(decode_s=36, external=0.02), RATES, utilisation=0.1)
    assert made.fully_loaded == pytest.approx(0.01 * RATES.hour(0.1) / 0.1 + 0.02)
    assert made.marginal == pytest.approx(0.002 * 1.5 * 0.2 + 0.02)
    assert made.fully_loaded > made.booked > made.marginal


def test_carbon_is_that_of_the_energy_and_a_part_of_the_making() -> None:
    made = charge(Work(decode_s=36), RATES)
    assert made.embodied_g == pytest.approx(10.0)  # 8760 kg in a year: 1 kg an hour
    assert made.co2e_g == pytest.approx(0.003 * 1.5 * 400 + 10.0)


@pytest.mark.parametrize("busy_s", [0.0, 1.0, 900.0, 3600.0])
def test_what_work_and_idle_time_cost_is_the_hour(busy_s: float) -> None:
    work, rest = charge(Work(decode_s=busy_s), RATES), idle(3600 - busy_s, None, RATES)
    assert work.booked + rest.booked == pytest.approx(RATES.hour(busy_s / 3600))
    assert work.energy_wh + rest.energy_wh == pytest.approx(RATES.watts(busy_s / 3600))


def test_a_cost_carries_its_method_and_both_ends_of_its_band() -> None:
    cost = charge(Work(decode_s=36), RATES, utilisation=0.25, band=NODE).cost(cpu_seconds=72)
    assert (
        cost.method
        == "estimate: fully loaded at 25.0% use; energy by meter of the whole machine (-5 % to +5 %)"
    )
    assert (cost.energy_low_wh, cost.energy_high_wh) == (pytest.approx(2.85), pytest.approx(3.15))
    assert cost.constants == RATES.constants


def test_two_pieces_of_work_add_up() -> None:
    both = Work(prefill_s=1, prompt_tokens=10, batch=2) + Work(prefill_s=2, prompt_tokens=5, batch=1)
    assert both == Work(prefill_s=3, prompt_tokens=15, batch=2)
