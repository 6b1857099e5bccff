"""What one hour of this machine costs, in money, watts and carbon, at any load.

H = (price - residual) / (life_years * 8760); P(u) = idle + u * (busy - idle); an hour costs
H + P(u) / 1000 * PUE * price_kWh + opex. Every figure that nobody set is a default, and is named as one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rag.cost.constants import Constants, constants
from rag.errors import SettingsError
from rag.settings import CostSettings, HardwareSettings

HOURS_A_YEAR = 8760
SETTINGS = {"server_price": "price"}  # constants that are called otherwise in [hardware]


@dataclass(frozen=True, slots=True)
class Rates:
    """One machine. Money in `currency`, power in watts, carbon in gCO2e.

    `depreciation_h`, `opex_h` and `embodied_g_h` pass by the hour, whether it works or not. `defaults` names
    the settings of [hardware] that nobody set, `constants` the version of the figures they took.
    """

    currency: str
    depreciation_h: float
    opex_h: float
    idle_w: float
    busy_w: float
    pue: float
    price_kwh: float
    grid_g_kwh: float
    grid_low: float
    grid_high: float
    embodied_g_h: float
    life_years: float
    cores: int
    defaults: tuple[str, ...]
    constants: str

    def watts(self, utilisation: float) -> float:
        """P(u): power of the whole machine at a load in [0, 1]."""
        return self.idle_w + utilisation * (self.busy_w - self.idle_w)

    def electricity(self, wh: float) -> float:
        """Money for energy at the machine; the room's part comes on top."""
        return wh / 1000 * self.pue * self.price_kwh

    def carbon(self, wh: float) -> float:
        """gCO2e of energy at the machine, location-based (SCI: no offsets), the room's part included."""
        return wh / 1000 * self.pue * self.grid_g_kwh

    def hour(self, utilisation: float) -> float:
        """What one provisioned hour costs at a load in [0, 1]."""
        return self.depreciation_h + self.opex_h + self.electricity(self.watts(utilisation))

    @property
    def core_hour(self) -> float:
        """What one busy core costs for one hour on a fully loaded machine."""
        return self.hour(1.0) / self.cores


def rates_of(hardware: HardwareSettings, cost: CostSettings, figures: Constants | None = None) -> Rates:
    """The rates that the settings describe. Raises SettingsError for an unknown currency or country."""
    figures = figures or constants()
    defaults: list[str] = []

    def value(name: str, *, is_money: bool = False) -> float:
        setting = SETTINGS.get(name, name)
        if (told := getattr(hardware, setting)) is not None:
            return float(told)
        defaults.append(setting)
        figure = figures[name]
        return figure.value * (exchange("EUR", cost, figures) if is_money and figure.value else 1.0)

    price, life_years = value("server_price", is_money=True), value("life_years")
    grid = figures.grid(hardware.grid)
    if hardware.grid_g_kwh is None:
        defaults.append("grid_g_kwh")
    stated = hardware.grid_g_kwh
    idle_w, busy_w = value("idle_watts"), value("busy_watts")
    if idle_w > busy_w:
        raise SettingsError(
            f"hardware.idle_watts is {idle_w:g}, more than busy_watts ({busy_w:g}); set both, as measured"
        )
    return Rates(
        currency=cost.currency,
        depreciation_h=max(0.0, price - hardware.residual) / (life_years * HOURS_A_YEAR),
        opex_h=value("opex_hour", is_money=True),
        idle_w=idle_w,
        busy_w=busy_w,
        pue=value("pue"),
        price_kwh=value("price_kwh", is_money=True),
        grid_g_kwh=grid.value if stated is None else stated,
        grid_low=grid.low if stated is None else stated,
        grid_high=grid.high if stated is None else stated,
        embodied_g_h=value("embodied_kg") * 1000 / (life_years * HOURS_A_YEAR),
        life_years=life_years,
        cores=hardware.cores or len(os.sched_getaffinity(0)),
        defaults=tuple(defaults),
        constants=figures.version,
    )


def exchange(currency: str, cost: CostSettings, figures: Constants | None = None) -> float:
    """What one unit of a currency is worth in ours. Raises SettingsError when nobody said."""
    if currency == cost.currency:
        return 1.0
    if currency in cost.exchange:
        return cost.exchange[currency]
    known: Mapping[tuple[str, str], str] = {("USD", "EUR"): "usd", ("EUR", "USD"): "eur"}
    if (name := known.get((currency, cost.currency))) is None:
        raise SettingsError(
            f"nobody said what one {currency} is worth in {cost.currency}: set it in rag.toml, "
            f"[cost] exchange = {{{currency} = 1.0}}"
        )
    return (figures or constants())[name].value
