"""Budgets and books of a real server: many at once, killed in the middle, left in the middle, looked up."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from rag.cost.tables import balances, ledger, reservations
from rag.store.database import Database

pytestmark = [pytest.mark.model, pytest.mark.slow]
LEAVE = "How many days of paid leave do employees have?"
LIMIT_S, ASKERS = 12.0, 200
BUDGET = "default:tenant:default:month:seconds"


@pytest.fixture
def house(filled: Path, tmp_path: Path, command: Callable[..., Any]) -> Path:
    """A home with documents of its own and a budget: two worst cases of a first question fit into it."""
    home = tmp_path / "kb"
    shutil.copytree(filled, home)
    set_to(command, home, LIMIT_S)
    return home


def set_to(command: Callable[..., Any], home: Path, limit: float) -> None:
    done = command(home, "cost", "budgets", "set", "tenant", "default", str(limit), "--unit", "seconds")
    assert done.returncode == 0, done.stderr


def chat(url: str, **body: Any) -> httpx.Response:
    asked = {"model": "extract", "messages": [{"role": "user", "content": LEAVE}], **body}
    return httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=120)


class Books:
    """What the database has, read from beside the server."""

    def __init__(self, home: Path) -> None:
        self.database = Database(home)

    def rows(self, **wanted: str) -> list[Any]:
        query = select(ledger).filter_by(**wanted).order_by(ledger.c.seq)
        with self.database.reading() as connection:
            return list(connection.execute(query).all())

    def balance(self) -> tuple[float, float]:
        """Seconds that are spent and reserved."""
        with self.database.reading() as connection:
            row = connection.execute(select(balances).where(balances.c.budget == BUDGET)).one()
        return row.spent / 1e9, row.reserved / 1e9

    def under_way(self) -> int:
        with self.database.reading() as connection:
            return len(connection.execute(select(reservations)).all())


@pytest.fixture
def books(house: Path) -> Iterator[Books]:
    found = Books(house)
    yield found
    found.database.close()


def add_up(command: Callable[..., Any], home: Path, books: Books) -> None:
    """The seals hold, the balance is what the rows of requests and lookups took, nothing is left reserved,
    and work and idle time are the hours at their load."""
    assert command(home, "cost", "verify").returncode == 0
    spent, reserved = books.balance()
    taken = sum(row.busy_s for row in books.rows() if row.kind in ("request", "lookup"))
    assert spent == pytest.approx(taken, abs=1e-4) and reserved == 0
    assert books.under_way() == 0
    told = json.loads(command(home, "cost", "report", "--json").stdout)
    rates, watts = told["rates"], told["rates"]["idle_w"]
    watts += told["utilisation"] * (rates["busy_w"] - rates["idle_w"])
    hour = rates["depreciation_h"] + watts / 1000 * rates["pue"] * rates["price_kwh"]
    assert told["cost"] == pytest.approx(hour * told["hours"], rel=1e-3)


def test_two_hundred_askers_at_once_never_take_more_than_the_budget(
    house: Path, books: Books, start_server: Callable[[Path], Any], command: Callable[..., Any]
) -> None:
    url = start_server(house).url
    with ThreadPoolExecutor(ASKERS) as pool:
        replies = list(pool.map(lambda _: chat(url), range(ASKERS)))
    statuses = Counter(reply.status_code for reply in replies)
    assert statuses[200] >= 1 and statuses[402] >= 1, statuses
    assert set(statuses) <= {200, 402, 429, 503}, statuses
    refused = next(reply.json()["error"] for reply in replies if reply.status_code == 402)
    assert refused["code"] == "cost_cap_exceeded" and BUDGET in refused["message"]
    assert books.balance()[0] <= LIMIT_S
    endings = Counter(row.outcome for row in books.rows(kind="request"))
    assert endings["refused"] == statuses[402]
    assert endings["ok"] + endings["cached"] + endings["degraded"] == statuses[200]
    add_up(command, house, books)


def test_what_a_killed_server_held_is_free_and_booked_when_the_next_one_starts(
    house: Path, books: Books, start_server: Callable[[Path], Any], command: Callable[..., Any]
) -> None:
    set_to(command, house, 1000)
    served = start_server(house)
    body = {"model": "small", "stream": True, "messages": [{"role": "user", "content": LEAVE}]}
    with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body, timeout=120) as reply:
        assert reply.status_code == 200
        assert books.under_way() == 1 and books.balance()[1] > 0
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait(30)
    url = start_server(house).url
    assert chat(url).status_code == 200
    [lost] = books.rows(outcome="interrupted")
    assert lost.tier == "small" and lost.busy_s == 0
    add_up(command, house, books)


def test_whatever_the_door_what_was_asked_is_booked_and_nothing_hangs(
    house: Path, books: Books, start_server: Callable[[Path], Any], command: Callable[..., Any]
) -> None:
    set_to(command, house, 1000)
    url = start_server(house).url
    chat(url)
    assert chat(url).json()["rag"]["cached"] == "exact"
    asked = {
        "model": "small",
        "stream": True,
        "messages": [{"role": "user", "content": "Who meets visitors?"}],
    }
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=asked, timeout=120) as reply:
        next(reply.iter_lines())  # and gone
    with httpx.Client(base_url=url, timeout=120) as client:
        posted = {
            "/v1/completions": {"model": "extract", "prompt": "What do visitors wear?"},
            "/v1/responses": {"model": "extract", "input": "What does a drill cost?"},
            "/v1/search": {"query": "paid leave"},
            "/v1/embeddings": {"model": "", "input": ["paid leave", "a hotel"]},
        }
        for path, body in posted.items():
            assert client.post(path, json=body).status_code == 200, path
    command(house, "search", "hotel nights")
    endings = Counter((row.tier, row.outcome) for row in books.rows() if row.kind in ("request", "lookup"))
    assert endings["extract", "ok"] == 3 and endings["extract", "cached"] == 1
    assert endings["search", "ok"] == 2 and endings["vectors", "ok"] == 1
    assert endings["small", "interrupted"] + endings["small", "ok"] == 1
    add_up(command, house, books)
