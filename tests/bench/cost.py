"""What metering and the ledger take of a question: opening and settling a ticket, and an estimate.

Run `python tests/bench/cost.py`. The books are real, in a SQLite file in a folder of their own that is synced
to disk, with four budgets that apply and 500 requests known; `--query-s` is a question to compare with.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rag.cost.accountant import Accountant
from rag.cost.budget import Unit
from rag.cost.guardrail import Plan
from rag.cost.meter import Work
from rag.cost.ticket import Ticket
from rag.settings import BudgetSettings, Settings
from rag.store.database import Database
from rag.types import Principal
from tests.bench.report import Row, write

T = TypeVar("T")
KNOWN, MEASURED, THREADS = 500, 500, 8
ANNA = Principal(user="anna", key="k1", groups=("everyone", "staff"))
LIMITS = tuple(
    BudgetSettings(scope=scope, subject="*", unit=str(unit), limit=1e6, period="day")
    for scope, unit in (
        ("tenant", Unit.MONEY),
        ("user", Unit.MONEY),
        ("key", Unit.SECONDS),
        ("collection", Unit.WH),
    )
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--query-s", type=float, default=2.0, help="seconds of the question to compare with")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="the disk to measure on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        database = Database(Path(folder))
        accountant = Accountant(database, Settings(home=Path(folder), budgets=LIMITS))
        rows = measured(accountant, random.Random(7), options.query_s)
        database.close()
    write("cost", rows)


def measured(accountant: Accountant, draw: random.Random, query_s: float) -> list[Row]:
    for _ in range(KNOWN):
        opened(accountant).settle(work(draw), model="small")
    opens, settles, estimates = [], [], []
    for _ in range(MEASURED):
        plan = Plan("small", draw.randint(200, 900), 96)
        estimates.append(timed(lambda plan=plan: accountant.estimator.estimate("default", plan))[0])
        seconds, ticket = timed(lambda: opened(accountant))
        opens.append(seconds)
        settles.append(timed(lambda ticket=ticket: ticket.settle(work(draw), model="small"))[0])
    both = [one + other for one, other in zip(opens, settles, strict=True)]
    rows = [*spread("open a ticket", opens), *spread("settle a ticket", settles)]
    rows += spread("open and settle", both)
    overhead = 100 * middle(both) / query_s
    rows.append(Row("of a question", overhead, "%", f"{query_s:g} s", target=1.0, lower_is_better=True))
    rows += spread("estimate", estimates, target_ms=5.0)
    rows.append(Row(f"tickets, {THREADS} threads", throughput(accountant), "1/s"))
    accountant.ledger.verify()  # warm
    seconds, found = timed(accountant.ledger.verify)
    rows.append(Row("rows verified", found.rows / seconds, "1/s"))
    return rows


def throughput(accountant: Accountant) -> float:
    """Tickets opened and settled a second by several threads that share one database."""

    def several() -> None:
        draw = random.Random(threading.get_ident())
        for _ in range(50):
            opened(accountant).settle(work(draw), model="small")

    threads = [threading.Thread(target=several) for _ in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return THREADS * 50 / (time.perf_counter() - began)


def opened(accountant: Accountant) -> Ticket:
    return accountant.open(ANNA, tier="small", collection="law", prompt_tokens=900, max_tokens=96)


def work(draw: random.Random) -> Work:
    """A question as a small model takes it."""
    prompt, written = draw.randint(200, 900), draw.randint(10, 90)
    return Work(
        prefill_s=prompt * draw.uniform(0.0009, 0.0012),
        decode_s=written * draw.uniform(0.02, 0.03),
        cpu_s=draw.uniform(0.2, 0.4),
        prompt_tokens=prompt,
        completion_tokens=written,
    )


def timed(call: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    found = call()
    return time.perf_counter() - began, found


def spread(name: str, seconds: list[float], *, target_ms: float | None = None) -> list[Row]:
    """Median and 95th percentile in milliseconds."""
    late = sorted(seconds)[int(0.95 * len(seconds))]
    return [
        Row(f"{name}, median", 1e3 * middle(seconds), "ms", lower_is_better=True),
        Row(f"{name}, p95", 1e3 * late, "ms", target=target_ms, lower_is_better=True),
    ]


def middle(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


if __name__ == "__main__":
    main()
