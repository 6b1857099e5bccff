"""The books of a home in a folder of its own, with a machine whose figures are round numbers and a clock."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rag.cost.accountant import Accountant
from rag.settings import HardwareSettings, Settings
from rag.store.database import FILE, Database

NOON = 1_795_262_400.0  # 21 November 2026, 12:00 UTC
MACHINE = HardwareSettings(
    price=8760.0,
    life_years=1,
    idle_watts=100,
    busy_watts=300,
    pue=1.5,
    price_kwh=0.2,
    opex_hour=0.5,
    grid_g_kwh=400,
    embodied_kg=8760,
    cores=4,
    meter="model",
)

Books = Callable[..., Accountant]


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, to be copied: to run the migrations takes longer than most tests."""
    home = tmp_path_factory.mktemp("migrated")
    Database(home).close()
    return home / FILE


@pytest.fixture
def database(tmp_path: Path, migrated: Path) -> Iterator[Database]:
    shutil.copy(migrated, tmp_path / FILE)
    database = Database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def books(database: Database, tmp_path: Path, clock: Clock) -> Books:
    """Makes the accountant of this home with settings."""

    def open_books(**settings: Any) -> Accountant:
        price_of = settings.pop("price_of", lambda tier: None)
        found = Settings(home=tmp_path, **{"hardware": MACHINE, **settings})
        return Accountant(database, found, price_of=price_of, clock=clock)

    return open_books
