"""The first meter."""

from __future__ import annotations

import pytest

from rag.cost.meter import Meter
from rag.settings import CostSettings


def test_cpu_seconds_times_the_rate_is_the_cost_and_says_it_is_an_estimate() -> None:
    cost = Meter(CostSettings(cpu_hour_rate=0.36, currency="CHF")).cost(10.0)
    assert cost.amount == pytest.approx(0.001)
    assert (cost.currency, cost.cpu_seconds) == ("CHF", 10.0)
    assert cost.method.startswith("estimate")
