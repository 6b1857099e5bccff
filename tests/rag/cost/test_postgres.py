"""The same books on Postgres."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rag.cost.accountant import Accountant
from rag.cost.energy_log import EnergyLog
from rag.cost.meter import Work
from rag.cost.report import report
from rag.cost.summary import told
from rag.cost.usage import By, usage
from rag.errors import BudgetExceeded
from rag.settings import BudgetSettings, Settings
from rag.store.database import Database
from rag.types import Principal
from tests.rag.cost.conftest import MACHINE, NOON, Clock
from tests.rag.cost.test_closing import Plug
from tests.rag.store.conftest import postgres, postgres_url  # noqa: F401

WORK = Work(prefill_s=1, decode_s=2, prompt_tokens=900, completion_tokens=40)
LIMIT = BudgetSettings(scope="tenant", unit="seconds", limit=155)


def test_books_on_postgres_add_up_and_are_not_overdrawn(
    tmp_path: Path,
    postgres_url: str,  # noqa: F811
    clock: Clock,
) -> None:
    database = Database(tmp_path, postgres_url)
    settings = Settings(home=tmp_path, hardware=MACHINE, budgets=(LIMIT,))
    accountant = Accountant(database, settings, clock=clock)
    allowed: list[bool] = []

    def ask() -> None:
        try:
            ticket = accountant.open(Principal(user="anna"), tier="small", prompt_tokens=10, max_tokens=20)
            allowed.append(True)
            ticket.settle(WORK)
        except BudgetExceeded:
            allowed.append(False)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (account,) = accountant.budgets.standing()
    assert account.reserved == 0 and account.spent == pytest.approx(3.0 * sum(allowed), rel=0.1)
    log = EnergyLog(database, Plug(150.0), clock=clock)
    for _ in range(61):
        log.sample()
        clock.now += 60
    accountant.closing.close_period(NOON + 3600)
    clock.now = NOON + 3660
    made = report(accountant, since=0)
    assert made.energy_wh == pytest.approx(150 * 3660 / 3600, rel=0.02)
    assert sum(line.requests for line in usage(database, by=By.USER)) == 20
    assert "provisioned" in told(made)
    assert accountant.ledger.verify().broken is None
    database.close()
