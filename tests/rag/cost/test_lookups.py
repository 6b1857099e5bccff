"""Searches and vectors are on the books: they draw on budgets, are refused by them, and are not idle time."""

from __future__ import annotations

import asyncio

import pytest

from rag.cost.accountant import Accountant
from rag.cost.ledger import Ending, Kind
from rag.cost.lookups import Lookup, booked
from rag.cost.report import report
from rag.cost.usage import By, usage
from rag.errors import BudgetExceeded
from rag.settings import BudgetSettings
from rag.types import Principal
from rag.workers import CHILD_CPU
from tests.rag.cost.conftest import Books, Clock

ANNA = Principal(user="anna")


async def look(accountant: Accountant, cpu_s: float, what: Lookup = Lookup.SEARCH) -> None:
    """A lookup whose child says that it took so many CPU-seconds."""
    async with booked(accountant, what, ANNA, collection="law"):
        tally = CHILD_CPU.get()
        assert tally
        tally.seconds += cpu_s


def test_what_a_search_took_is_booked_on_who_asked_and_is_no_answer(books: Books, clock: Clock) -> None:
    accountant = books()
    asyncio.run(look(accountant, 2.0))
    asyncio.run(look(accountant, 4.0, Lookup.VECTORS))
    clock.now += 60
    lines = {line.name: line for line in usage(accountant.database, by=By.TIER)}
    assert lines["search"].busy_s == pytest.approx(0.5, abs=0.1) and lines["search"].requests == 1
    assert lines["vectors"].busy_s == pytest.approx(1.0, abs=0.1)
    [of_user] = accountant.usage(ANNA)
    assert of_user.requests == 2
    made = report(accountant, since=0.0)
    assert made.answered == 0 and made.asked.requests == 0
    assert made.idle.seconds == pytest.approx(60 - made.whole.busy_s)


def test_a_search_beyond_the_budget_is_refused_and_not_made(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="user", unit="seconds", limit=6)])
    asyncio.run(look(accountant, 16.0))
    with pytest.raises(BudgetExceeded):
        asyncio.run(look(accountant, 16.0))
    [account] = accountant.budgets.standing()
    assert account.spent == pytest.approx(4, abs=0.1) and account.reserved == 0
    endings = {line.name for line in usage(accountant.database, by=By.OUTCOME, kinds=[Kind.LOOKUP])}
    assert endings == {Ending.OK, Ending.REFUSED}


def test_a_search_that_fails_is_booked_with_what_it_took(books: Books) -> None:
    accountant = books()

    async def failing() -> None:
        async with booked(accountant, Lookup.SEARCH, ANNA):
            tally = CHILD_CPU.get()
            assert tally
            tally.seconds += 8.0
            raise ValueError("the index is away")

    with pytest.raises(ValueError):
        asyncio.run(failing())
    [line] = usage(accountant.database, by=By.OUTCOME)
    assert (line.name, line.requests) == (Ending.ERROR, 1) and line.busy_s == pytest.approx(2, abs=0.1)
    assert CHILD_CPU.get() is None
