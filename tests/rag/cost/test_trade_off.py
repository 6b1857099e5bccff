"""More readers at once: slower for each, cheaper for all, by this machine's own measurements."""

from __future__ import annotations

import pytest

from rag.cost.rates import rates_of
from rag.cost.trade_off import Choice, Load, cheapest, choices
from rag.engine.tuning import Tuning
from rag.errors import BadRequest
from rag.settings import CostSettings, HardwareSettings

MEASURED = Tuning(
    threads=2,
    batch_threads=2,
    prefill_tps=100.0,
    decode_tps=50.0,
    decode_ms={1: 20.0, 2: 30.0, 4: 50.0, 8: 90.0},
    prefill_ms_per_token=10.0,
)
RATES = rates_of(HardwareSettings(price=3650.0 * 24 * 5, life_years=5, opex_hour=0), CostSettings())
LOAD = Load(prompt_tokens=1000, answer_tokens=100, step_target_ms=500)


def made(**targets: float) -> list[Choice]:
    return choices(MEASURED, RATES, LOAD, **targets)


def test_every_measured_number_of_readers_is_a_choice() -> None:
    found = made()
    assert [each.slots for each in found] == [1, 2, 4, 8]
    assert [each.inter_token_ms for each in found] == [20.0, 30.0, 50.0, 90.0]
    assert [round(each.tokens_per_s, 1) for each in found] == [50.0, 66.7, 80.0, 88.9]
    assert all(each.meets for each in found)


def test_words_get_cheaper_and_slower_with_more_readers() -> None:
    found = made()
    costs = [each.per_1000_tokens for each in found]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == pytest.approx(RATES.hour(1.0) / 3600 * 1000 / 50)
    firsts = [each.first_token_s for each in found]
    assert firsts == sorted(firsts)
    assert firsts[0] == pytest.approx(10.0), "alone a prompt is read at full speed"
    # Beside seven readers a step of 500 ms has room for 42 tokens: 24 steps that carry them along.
    assert firsts[3] == pytest.approx(10.0 + 24 * 0.080)


@pytest.mark.parametrize(
    ("targets", "slots"),
    [
        ({}, 8),
        ({"inter_token_ms": 60.0}, 4),
        ({"first_token_s": 10.3}, 1),
        ({"inter_token_ms": 60.0, "first_token_s": 10.5}, 2),
    ],
)
def test_the_cheapest_that_meets_the_targets_is_chosen(targets: dict[str, float], slots: int) -> None:
    best = cheapest(made(**targets))
    assert best is not None and best.slots == slots


def test_targets_that_nothing_meets_leave_no_choice() -> None:
    assert cheapest(made(inter_token_ms=1.0)) is None


def test_nothing_is_said_without_a_measurement() -> None:
    with pytest.raises(BadRequest, match="no time"):
        choices(Tuning(threads=2, batch_threads=2, note="no time"), RATES, LOAD)
