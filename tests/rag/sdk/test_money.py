"""Usage and budgets through the client and in this process: the same words over the same books."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.api.app import create_app
from rag.assembly import System
from rag.cost.accountant import Accountant
from rag.errors import BadRequest, NotFound
from rag.models.lockfile import entry
from rag.sdk import AsyncClient
from rag.sdk.own import OwnMoney
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.types import Principal

FAR = 4e9


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Books and nothing else."""
    settings, catalog = Settings(home=tmp_path), Catalog(tmp_path)
    needed: Any = dict.fromkeys(each.name for each in fields(System) if each.default_factory is MISSING)
    used = {"settings": settings, "principal": Principal(), "catalog": catalog}
    used |= {"accountant": Accountant(catalog.database, settings), "model": entry("smollm2-135m-instruct")}
    yield System(**{**needed, **used})
    catalog.close()


@pytest.fixture
def connect(system: System) -> Any:
    """A client of the application, without a port between."""
    transport = httpx.ASGITransport(create_app(system))
    return lambda: AsyncClient("http://127.0.0.1", transport=transport)


def test_a_budget_is_set_raised_and_removed(system: System, connect: Any) -> None:
    own = OwnMoney(system)

    async def story() -> None:
        async with connect() as client:
            (line,) = await client.money.set_budget("user", 2.5, period="day", on_limit="refuse")
            assert (line.budget.limit, line.left, line.subject) == (2.5, 2.5, "*")
            assert own.budgets() == await client.money.budgets() == [line]
            (more,) = await client.money.override_budget(line.id, extra=1.0, until=FAR, reason="month end")
            assert more.left == 3.5
            (both,) = own.override_budget(line.id, extra=2.0, until=FAR, reason="month end")
            assert both.left == 4.5
            assert await client.money.remove_budget(line.id) == []
            with pytest.raises(NotFound, match="no budget"):
                await client.money.remove_budget(line.id)

    asyncio.run(story())
    (mine,) = own.set_budget("tenant", 9)
    assert (mine.budget.unit, mine.budget.period, mine.left) == ("money", "month", 9)
    assert own.remove_budget(mine.id) == []


def test_usage_is_added_up_as_asked(system: System, connect: Any) -> None:
    own, now = OwnMoney(system), system.accountant.clock()
    for tier in ("extract", "small", "small"):
        with system.accountant.open(Principal(), tier=tier) as ticket:
            ticket.settle(tier=tier)

    async def story() -> None:
        async with connect() as client:
            found = await client.money.usage(since=now - 5, by="tier")
            assert {line.name: line.requests for line in found.data} == {"extract": 1, "small": 2}
            assert found == own.usage(since=now - 5, by="tier")
            (mine,) = (await client.money.usage(mine=True)).data
            assert mine.requests == 3
            assert (await client.money.usage(since=0, until=1)).data == own.usage(since=0, until=1).data == []

    asyncio.run(story())


def test_words_that_are_none_are_refused_with_those_there_are(system: System) -> None:
    own = OwnMoney(system)
    with pytest.raises(BadRequest, match="'year' is none of day, month"):
        own.set_budget("tenant", 9, period="year")
    with pytest.raises(BadRequest, match="limit -1 must be above 0"):
        own.set_budget("tenant", -1)
    with pytest.raises(BadRequest, match="'moon' is none of tenant, user"):
        own.usage(by="moon")
