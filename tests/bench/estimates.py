"""Estimates before a question against what it then took, and what metering itself takes, on real answers.

Run `python tests/bench/estimates.py` (`--quick` for 40 questions): squad2 of the developer set and the sample
handbook, the bundled model, one question in three worded by it and the others quoted, after 50 to learn from.
`--replay tests/bench/out/estimates.jsonl` estimates the questions of an earlier run anew, in their order and
with what they took then, and prints how good that was: for changes of the estimator, no model is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from report import OUT, ROOT, Row, write

# This folder holds an ingest.py, which would hide the package of that name.
sys.path.insert(0, str(ROOT))

from answers import SQUAD, feed
from answers import questions as of_squad

from rag.answering.manner import Manner
from rag.assembly import System, open_system
from rag.assistant import Final
from rag.cost.accountant import Accountant
from rag.cost.budget import Amounts
from rag.cost.estimate import Estimate
from rag.cost.guardrail import Plan
from rag.cost.meter import Work
from rag.cost.speeds import Sample, sample_of
from rag.cost.ticket import Ticket
from rag.settings import BudgetSettings, Settings
from rag.store.database import Database
from rag.types import Tier

T = TypeVar("T")
HANDBOOK, HANDBOOK_QUESTIONS = (
    ROOT / "tests" / "data" / name for name in ("handbook", "handbook_questions.jsonl")
)
WARM_UP, COUNT, QUICK = 50, 250, 40
WORDED, MOST_TOKENS = 1 / 3, 48
SEED = 20251121
UNITS = {"money": "currency", "wh": "energy", "seconds": "machine-seconds"}
BUDGETS = tuple(
    BudgetSettings(scope="tenant", subject="*", unit=unit, limit=1e6) for unit in ("money", "wh", "seconds")
)


@dataclass
class Seen:
    """One question: the tier that was planned, what was estimated at first and at last, what it took, and the
    milliseconds of the books within its wall time and its CPU time."""

    tier: str
    before: Estimate
    estimate: Estimate
    used: Amounts
    sample: Sample
    whole_ms: float = 0.0
    books_ms: float = 0.0
    books_cpu_ms: float = 0.0


class Watched(Accountant):
    """An accountant that is looked at: every ticket, and how long opening, narrowing and settling took."""

    def watch(self) -> None:
        self.seen: list[Seen] = []
        self.spent = [0.0, 0.0]

    def open(self, *args: Any, **kwargs: Any) -> Ticket:
        ticket: Ticket = self._timed(lambda: super(Watched, self).open(*args, **kwargs))
        self.before = ticket.decision.estimate
        return ticket

    def narrow(self, *args: Any) -> None:
        self._timed(lambda: super(Watched, self).narrow(*args))

    def settle(self, ticket: Ticket, **kwargs: Any) -> Any:
        made = self._timed(lambda: super(Watched, self).settle(ticket, **kwargs))
        used = Amounts(made.booked, made.energy_wh, made.co2e_g, made.busy_s)
        plan, work = ticket.plan, sum(ticket.work.values(), Work())
        sample = sample_of(work, self.rates.cores, plan, ticket.packed.get(plan.tier))
        self.seen.append(Seen(plan.tier, self.before, ticket.decision.estimate, used, sample))
        return made

    def _timed(self, call: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.thread_time()
        found = call()
        self.spent[0] += 1000 * (time.perf_counter() - wall)
        self.spent[1] += 1000 * (time.thread_time() - cpu)
        return found


def questions(count: int) -> list[tuple[str, str]]:
    """Questions with the tier each is asked of, drawn with a seed."""
    draw = random.Random(SEED)
    of_handbook = [
        json.loads(line)["question"] for line in HANDBOOK_QUESTIONS.read_text("utf-8").splitlines()
    ]
    texts = [*(each.text for each in of_squad()), *of_handbook]
    chosen = draw.sample(texts, min(count, len(texts)))
    return [(text, Tier.SMALL if draw.random() < WORDED else Tier.EXTRACT) for text in chosen]


async def ask(system: System, books: Watched, text: str, tier: str) -> Seen:
    books.spent, began = [0.0, 0.0], time.perf_counter()
    manner = Manner(max_tokens=MOST_TOKENS)
    async for event in system.assistant.ask(text, system.principal, tier=tier, manner=manner):
        assert event is not None
    assert isinstance(event, Final)
    seen = books.seen[-1]
    seen.whole_ms = 1000 * (time.perf_counter() - began)
    seen.books_ms, seen.books_cpu_ms = books.spent
    return seen


async def run(warm_up: int, count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_system(Settings(home=Path(folder) / "kb", budgets=BUDGETS)) as system:
            await feed(system)
            await system.ingest([HANDBOOK])
            system.accountant.__class__ = Watched
            books = system.accountant
            assert isinstance(books, Watched)
            books.watch()
            seen = []
            for number, (text, tier) in enumerate(questions(warm_up + count), start=1):
                seen.append(await ask(system, books, text, tier))
                if number % 20 == 0:
                    print(f"{number} of {warm_up + count}", file=sys.stderr, flush=True)
    keep(seen)
    return list(measures(seen[warm_up:]))


def measures(seen: Sequence[Seen]) -> Iterator[Row]:
    """Shares within the most and p95, the error of p50, and what the books took."""
    for unit, name in UNITS.items():
        yield from compared(name, unit, seen)
    for tier in sorted({each.tier for each in seen}):
        some = [each for each in seen if each.tier == tier]
        yield from compared(f"{tier}, {UNITS['seconds']}", "seconds", some)
        errors = [abs(each.before.p50.seconds - each.used.seconds) / each.used.seconds for each in some]
        yield Row(f"{tier}: median error before the search", 100 * statistics.median(errors), "%")
    yield Row("question, median", statistics.median(each.whole_ms for each in seen), "ms")
    yield Row("books, median", statistics.median(each.books_ms for each in seen), "ms", lower_is_better=True)
    yield Row(
        "books, CPU, median", statistics.median(e.books_cpu_ms for e in seen), "ms", lower_is_better=True
    )
    share = 100 * sum(each.books_ms for each in seen) / sum(each.whole_ms for each in seen)
    yield Row("books of all questions", share, "%", target=1.0, lower_is_better=True)


def compared(name: str, unit: str, seen: Sequence[Seen]) -> Iterator[Row]:
    """One unit of some questions."""

    def share(bound: str) -> float:
        return statistics.fmean(
            getattr(e.used, unit) <= getattr(getattr(e.estimate, bound), unit) for e in seen
        )

    errors = [
        abs(getattr(each.estimate.p50, unit) - used) / used
        for each in seen
        if (used := getattr(each.used, unit))
    ]
    yield Row(f"{name}: actual within the most", share("most"), f"share of {len(seen)}", target=1.0)
    yield Row(f"{name}: actual within p95", share("p95"), "share, 0.93 to 0.97")
    yield Row(
        f"{name}: median error of p50",
        100 * statistics.median(errors),
        "%",
        target=25.0,
        lower_is_better=True,
    )


def replay(file: Path) -> list[Row]:
    """How good the estimates of packed prompts are now, on the questions of an earlier run."""
    samples = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = Database(home)
        books = Accountant(database, Settings(home=home))
        seen = [anew(books, told) for told in samples]
        database.close()
    judged = seen[WARM_UP:]
    tiers = [("all", judged)]
    tiers += [
        (each, [one for one in judged if one.tier == each]) for each in sorted({s.tier for s in judged})
    ]
    return [row for name, some in tiers for row in compared(f"{name}, {UNITS['seconds']}", "seconds", some)]


def anew(books: Accountant, told: dict[str, Any]) -> Seen:
    """One question of an earlier run: estimated, then learned from."""
    tier, sample = told["tier"], Sample(**{each.name: told[each.name] for each in fields(Sample)})
    planned = Plan(tier, sample.planned_tokens, int(sample.planned_most))
    packed = Plan(tier, sample.packed_tokens or 0, int(sample.packed_most))
    before = books.estimator.estimate("default", planned)
    found = books.estimator.estimate("default", packed, packed=True).within(before)
    cached = sample.prompt_tokens - sample.fresh_tokens
    work = Work(
        prefill_s=sample.prefill_s,
        decode_s=sample.decode_s,
        cpu_s=sample.rest_s * books.rates.cores,
        prompt_tokens=sample.prompt_tokens,
        cached_tokens=cached,
        completion_tokens=sample.completion_tokens,
    )
    books.estimator.learn("default", tier, work, planned, packed)
    return Seen(tier, before, found, Amounts(seconds=sample.busy_s), sample)


def keep(seen: Sequence[Seen]) -> None:
    """Every question beside the figures, to look at what went wrong."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "estimates.jsonl").open("w", encoding="utf-8") as lines:
        for each in seen:
            bounds = {name: getattr(each.estimate, name).seconds for name in ("p50", "p95", "most")}
            bounds["before"] = each.before.p50.seconds
            told = {
                "tier": each.tier,
                "basis": each.estimate.basis,
                **bounds,
                "used": each.used.seconds,
                **asdict(each.sample),
            }
            lines.write(json.dumps({**told, "ms": each.whole_ms, "books_ms": each.books_ms}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} questions, to try it")
    parser.add_argument("--replay", type=Path, help="estimates.jsonl of an earlier run")
    options = parser.parse_args()
    if options.replay:
        for row in replay(options.replay):
            print(f"{row.measure}: {row.ours:.4g} {row.unit}")
        return
    if not SQUAD.exists():
        raise SystemExit(f"the developer set is not at {SQUAD}: nothing to measure")
    write("estimates", asyncio.run(run(WARM_UP, QUICK if options.quick else COUNT)))


if __name__ == "__main__":
    main()
