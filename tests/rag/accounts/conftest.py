"""Accounts on a database of their own, with a clock that tests turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.accounts.accounts import Accounts
from rag.store.database import Database


class Clock:
    """Seconds since 1970, as the test says."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def accounts(database: Database, tmp_path: Path, clock: Clock) -> Accounts:
    return Accounts(database, tmp_path, clock=clock)
