"""The same questions on another machine, at another load, for another price of electricity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rag.cost.break_even import MeanQuestion
from rag.cost.rates import HOURS_A_YEAR, Rates
from rag.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Change:
    """What is imagined to be different; None: as it is. `speed`: how many times faster the machine is."""

    queries_per_hour: float | None = None
    utilisation: float | None = None
    price: float | None = None
    life_years: float | None = None
    price_kwh: float | None = None
    pue: float | None = None
    idle_watts: float | None = None
    busy_watts: float | None = None
    grid_g_kwh: float | None = None
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What follows: machines, their load, and money, energy and carbon for one question, idle time included.

    `energy_wh` is at the machine.
    """

    machines: int
    queries_per_hour: float
    utilisation: float
    per_query: float
    per_hour: float
    energy_wh: float
    co2e_g: float
    currency: str


def outlook(mean: MeanQuestion, rates: Rates, change: Change, *, per_hour: float) -> Outlook:
    """What questions like the mean one would cost. `per_hour`: how many there are now.

    A load beyond what one machine does takes more machines, evenly loaded. Raises BadRequest for both a load
    and a number of questions, and for what no machine can be.
    """
    if change.queries_per_hour is not None and change.utilisation is not None:
        raise BadRequest("give --utilisation or --queries-per-hour, not both: one follows from the other")
    if mean.busy_s <= 0 or change.speed <= 0:
        raise BadRequest("a question takes more than 0 seconds: give --seconds, and a --speed above 0")
    busy_s = mean.busy_s / change.speed
    count = per_hour if change.queries_per_hour is None else change.queries_per_hour
    if change.utilisation is not None:
        count = change.utilisation * 3600 / busy_s
    if count <= 0:
        raise BadRequest("nobody asked anything: give --queries-per-hour")
    made = changed(rates, change)
    if made.idle_w > made.busy_w:
        raise BadRequest(f"idle {made.idle_w:g} W is more than busy {made.busy_w:g} W: give both --*-watts")
    machines = math.ceil(round(count * busy_s / 3600, 9))  # of a machine that is just full there is one
    load = count * busy_s / 3600 / machines
    wh = machines * made.watts(load) / count
    return Outlook(
        machines=machines,
        queries_per_hour=count,
        utilisation=load,
        per_query=machines * made.hour(load) / count,
        per_hour=machines * made.hour(load),
        energy_wh=wh,
        co2e_g=made.carbon(wh) + machines * made.embodied_g_h / count,
        currency=made.currency,
    )


def changed(rates: Rates, change: Change) -> Rates:
    """The rates of the imagined machine: a longer life or a lower price makes each hour of it cheaper."""
    depreciation_h, embodied_g_h = rates.depreciation_h, rates.embodied_g_h
    if change.life_years is not None or change.price is not None:
        years = change.life_years or rates.life_years
        value = (
            change.price
            if change.price is not None
            else rates.depreciation_h * rates.life_years * HOURS_A_YEAR
        )
        depreciation_h = value / (years * HOURS_A_YEAR)
        embodied_g_h *= rates.life_years / years
    return replace(
        rates,
        depreciation_h=depreciation_h,
        embodied_g_h=embodied_g_h,
        price_kwh=either(change.price_kwh, rates.price_kwh),
        pue=either(change.pue, rates.pue),
        idle_w=either(change.idle_watts, rates.idle_w),
        busy_w=either(change.busy_watts, rates.busy_w),
        grid_g_kwh=either(change.grid_g_kwh, rates.grid_g_kwh),
    )


def either(imagined: float | None, real: float) -> float:
    """What is imagined, else what is."""
    return real if imagined is None else imagined
