"""The figures that nobody measured here: each with its unit, its range, where it is from and when."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rag.errors import SettingsError

FILE = Path(__file__).with_name("constants.json")


@dataclass(frozen=True, slots=True)
class Constant:
    """One figure between `low` and `high`, with its source and the date of that."""

    name: str
    value: float
    unit: str
    low: float
    high: float
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Constants:
    """All of them. `version` is the same only where every figure is."""

    version: str
    all: tuple[Constant, ...]

    def __getitem__(self, name: str) -> Constant:
        return next(each for each in self.all if each.name == name)

    def grid(self, country: str) -> Constant:
        """gCO2e of one kWh there. Raises SettingsError that lists the countries of the table."""
        known = {each.name.removeprefix("grid_"): each for each in self.all if each.name.startswith("grid_")}
        if country.upper() not in known:
            raise SettingsError(
                f"hardware.grid is {country!r}; have {', '.join(sorted(known)).lower()}, or set "
                "hardware.grid_g_kwh to what your supplier states"
            )
        return known[country.upper()]


@cache
def constants() -> Constants:
    """The figures that come with Permafrost."""
    text = FILE.read_bytes()
    found = json.loads(text)
    digest = hashlib.sha256(text).hexdigest()[:12]
    return Constants(f"{found['as_of']}.{digest}", tuple(Constant(**row) for row in found["constants"]))
