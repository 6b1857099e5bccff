"""Workloads that are the same to the token for every system, and who asks them: closed loops of users."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "dev_set" / "qa"
CHUNK, QUESTION = 512, 30
SEED = 20251120

Segment = tuple[tuple[int, ...], bool]
Prompt = tuple[Segment, ...]


class System(Protocol):
    """Anything under load: gives the time (perf_counter) of each token of an answer. A segment is its tokens
    and whether it is a passage, which a system may keep the KV of."""

    def stream(self, segments: Prompt, n_predict: int) -> AsyncIterator[float]: ...


@dataclass(frozen=True)
class Workload:
    """Prompts in the order they are asked, and the tokens of each answer."""

    name: str
    prompts: tuple[Prompt, ...]
    n_predict: int

    @property
    def tokens(self) -> int:
        """All prompt tokens."""
        return sum(len(tokens) for prompt in self.prompts for tokens, _ in prompt)


def texts(seed: int = SEED) -> list[str]:
    """Real paragraphs, shuffled: the corpora of the development set, else the sample documents."""
    found = [
        str(row["text"])
        for file in sorted(CORPUS.glob("*/corpus.jsonl"))
        for row in map(json.loads, file.read_text("utf-8").splitlines())
        if row.get("text")
    ]
    files = sorted((ROOT / "tests" / "data").rglob("*.md")) + sorted((ROOT / "tests" / "data").rglob("*.txt"))
    found = found or [paragraph for file in files for paragraph in file.read_text("utf-8").split("\n\n")]
    random.Random(seed).shuffle(found)
    return found


class Supply:
    """Hands out pieces of real text by exact tokens, each stretch of text once until all of it was used."""

    def __init__(self, tokenise: Callable[[str], Sequence[int]], *, seed: int = SEED) -> None:
        self._tokenise = tokenise
        self._texts = texts(seed)
        self._next = 0
        self._left: list[int] = []

    def take(self, count: int) -> tuple[int, ...]:
        """The next `count` tokens."""
        while len(self._left) < count:
            self._left += self._tokenise(self._texts[self._next % len(self._texts)] + "\n\n")
            self._next += 1
        taken, self._left = tuple(self._left[:count]), self._left[count:]
        return taken


def zipf_reuse(
    supply: Supply,
    *,
    chunks: int = 8,
    per_prompt: int = 5,
    queries: int = 30,
    alpha: float = 1.0,
    shuffled: bool = True,
    prefix: int = 32,
    n_predict: int = 32,
    seed: int = SEED,
) -> Workload:
    """W2: few passages, popular ones often, behind one system text. Shuffled order defeats prefix caches;
    with `shuffled` off they stand in the order of their number, which favours them."""
    rng = random.Random(seed)
    system = supply.take(prefix)
    passages = [supply.take(CHUNK) for _ in range(chunks)]
    prompts = []
    for _ in range(queries):
        # Weighted without replacement (Efraimidis and Spirakis 2006): the largest u ** (1 / weight).
        keys = {number: rng.random() ** ((number + 1) ** alpha) for number in range(chunks)}
        order = sorted(keys, key=lambda number: -keys[number])[:per_prompt]
        if shuffled:
            rng.shuffle(order)
        else:
            order.sort()
        chosen = tuple((passages[number], True) for number in order)
        prompts.append(((system, False), *chosen, (supply.take(QUESTION), False)))
    return Workload(f"W2 {'shuffled' if shuffled else 'fixed order'}", tuple(prompts), n_predict)


def unrelated(supply: Supply, *, queries: int = 16, length: int = 512, n_predict: int = 64) -> Workload:
    """W4: prompts that share nothing, for concurrency."""
    prompts = tuple(((supply.take(length), False),) for _ in range(queries))
    return Workload("W4", prompts, n_predict)


@dataclass(frozen=True)
class Interference:
    """W5: somebody reads an answer while a long prompt of somebody else arrives."""

    victim: Prompt
    victim_tokens: int
    intruder: Prompt
    after_s: float


def interference(
    supply: Supply, *, short: int = 64, long: int = 4096, n_predict: int = 128, after_s: float = 1.0
) -> Interference:
    """A victim that decodes `n_predict` tokens, and an intruder of `long` tokens in passages."""
    chunks = tuple((supply.take(min(CHUNK, long - at)), True) for at in range(0, long, CHUNK))
    return Interference(((supply.take(short), False),), n_predict, chunks, after_s)


@dataclass
class Trace:
    """One request: when it was asked, and when each token came (perf_counter seconds). `error`: it failed."""

    t_start: float
    times: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def t_first(self) -> float:
        """When the first token came; never, if none did."""
        return self.times[0] if self.times else float("inf")

    @property
    def ttft(self) -> float:
        """Seconds to the first token."""
        return self.t_first - self.t_start

    @property
    def gaps(self) -> list[float]:
        """Seconds between tokens."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


async def ask(system: System, prompt: Prompt, n_predict: int) -> Trace:
    """One request from its start to its end; a failure is part of the result."""
    trace = Trace(time.perf_counter())
    try:
        async with contextlib.aclosing(system.stream(prompt, n_predict)) as answer:  # type: ignore[type-var]
            async for moment in answer:
                trace.times.append(moment)
    except Exception as error:  # whatever a system does wrong is counted, not the end of the run
        trace.error = f"{type(error).__name__}: {error}"
    return trace


async def closed_loop(
    system: System, prompts: Sequence[Prompt], users: int, *, n_predict: int = 32
) -> list[Trace]:
    """So many users who ask the next prompt once they have their answer; traces in the order of prompts."""
    traces: dict[int, Trace] = {}
    waiting = iter(enumerate(prompts))

    async def user() -> None:
        for number, prompt in waiting:
            traces[number] = await ask(system, prompt, n_predict)

    await asyncio.gather(*(user() for _ in range(users)))
    return [traces[number] for number in range(len(prompts))]


async def disturb(system: System, case: Interference) -> tuple[Trace, Trace]:
    """W5: the traces of victim and intruder."""
    victim = asyncio.create_task(ask(system, case.victim, case.victim_tokens))
    await asyncio.sleep(case.after_s)
    intruder = await ask(system, case.intruder, 1)
    return await victim, intruder


@dataclass(frozen=True)
class Summary:
    """Seconds, of the requests that succeeded, and the rest."""

    requests: int
    failed: int
    ttft_p50: float
    ttft_p95: float
    gap_p50: float
    gap_p99: float
    gap_max: float
    tokens_per_s: float


def summary(traces: Sequence[Trace]) -> Summary:
    """The figures of a run. Raises StatisticsError if nothing succeeded."""
    good = [trace for trace in traces if trace.times and not trace.error]
    waits = [trace.ttft for trace in good]
    gaps = [gap for trace in good for gap in trace.gaps] or [0.0]
    took = max(trace.times[-1] for trace in good) - min(trace.t_start for trace in good) if good else 0.0
    return Summary(
        requests=len(traces),
        failed=len(traces) - len(good),
        ttft_p50=percentile(waits, 50),
        ttft_p95=percentile(waits, 95),
        gap_p50=percentile(gaps, 50),
        gap_p99=percentile(gaps, 99),
        gap_max=max(gaps),
        tokens_per_s=sum(len(trace.times) for trace in good) / took if took else 0.0,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """With linear interpolation between the two nearest."""
    if not values:
        raise statistics.StatisticsError("no values to take a percentile of")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def rate_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927), which is right also where nearly all succeed."""
    z = statistics.NormalDist().inv_cdf(0.975)
    rate, weight = successes / trials, z * z / trials
    centre = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * ((rate * (1 - rate) + weight / 4) / trials) ** 0.5
    return centre - half, centre + half
