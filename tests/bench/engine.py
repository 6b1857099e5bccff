"""The engine beside what people would run instead, built from the same llama.cpp source, in one run.

`python tests/bench/engine.py [MODEL ...] [--only NAME ...]`, MODEL as in MODELS. Peers are compiled at the
first run (minutes). Both default models take the better part of an hour on two cores, which must be idle.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import load
import weights
from load import Prompt, Supply, Trace, ask, closed_loop, disturb, rate_interval, summary
from ours import Ours, at_home
from peers import LlamaServer, PythonServer
from programs import llama_bench
from report import Row, write

from rag.engine.cores import cores
from rag.engine.generator import Reuse
from rag.engine.model import Model
from rag.engine.tuning import Pinned, tune
from rag.models.lockfile import entry, locate

MODELS = {"135m": None, "1b": ("1b", "Q4_K_M"), "1b-q4_0": ("1b", "Q4_0"), "moe": ("moe", "Q4_0")}
QUERIES = {"135m": 6, "1b": 3}
GREEDY = {"135m": 1000}
TTFT_TARGETS = {"135m": (15.0, 8.0), "1b": (20.0, 10.0)}
SETTINGS = {"tune": False, "slots": 8, "context": 3072, "kv_memory_bytes": 1_500_000_000}


@dataclass
class Bench:
    """One model, its file, its tokens, and a home for our engine.

    `repack`: what our tuning chose here. Peers get the same where one setting is theirs to choose.
    """

    name: str
    file: Path
    home: Path
    model: str
    supply: Supply
    endings: list[int]
    repack: bool

    @contextlib.asynccontextmanager
    async def ours(self, **settings: Any) -> AsyncIterator[Ours]:
        chosen = SETTINGS | {"repack": "on" if self.repack else "off"} | settings
        system = await Ours(self.home, self.model, self.endings, **chosen).start()
        try:
            yield system
        finally:
            await system.engine.close()

    def row(self, measure: str, *values: Any, **more: Any) -> Row:
        return Row(f"{self.name}: {measure}", *values, **more)

    def alone(self, **work: int) -> dict[str, float]:
        """llama-bench with the weights as ours has them."""
        return llama_bench(self.file, repack=self.repack, **work)

    def server(self, **settings: Any) -> LlamaServer:
        """llama-server with the weights as ours has them, unless said otherwise."""
        return LlamaServer(self.file, **{"repack": self.repack, **settings})

    @property
    def queries(self) -> int:
        return QUERIES.get(self.name, 3)


async def cold(bench: Bench) -> list[Row]:
    """One user, nothing cached: our prefill and decode against llama-bench, interleaved."""
    ours: dict[str, list[float]] = {"prefill": [], "decode": []}
    theirs: dict[str, list[float]] = {"prefill": [], "decode": []}
    # A process is fast or slow for as long as it lives, by where its memory lies: each measure has its own.
    for _ in range(9):
        async with bench.ours() as system:
            system.terms["namespace"] = None
            await ask(system, ((bench.supply.take(64), False),), 2)
            trace = await ask(system, ((bench.supply.take(512), False),), 97)
        ours["prefill"].append(512 / trace.ttft)
        ours["decode"].append(96 / (trace.times[-1] - trace.t_first))
        # The answer stands behind 512 tokens, so theirs does too.
        theirs["prefill"].append(bench.alone(prompt=512, answer=1)["prefill"])
        theirs["decode"].append(bench.alone(prompt=1, answer=96, depth=512)["decode"])
    return [
        bench.row(
            f"cold {name}",
            median(ours[name]),
            "tokens/s",
            "llama-bench",
            median(theirs[name]),
            target=0.97 * median(theirs[name]),
        )
        for name in ours
    ]


async def reuse(bench: Bench) -> list[Row]:
    """Time to the first token behind 5 of 8 passages in shuffled order, everything warm."""
    work = load.zipf_reuse(bench.supply, queries=bench.queries + 8, n_predict=2)
    asked, warming = work.prompts[: bench.queries], work.prompts[bench.queries :]
    best = await server_ttft(bench, asked)
    async with bench.ours(slots=1) as system:
        system.terms["reuse"] = Reuse.APPROXIMATE
        for prompt in warming:
            await ask(system, prompt, 1)
        times = {}
        for repair in (0, 16):
            system.terms["repair"] = repair
            traces = [await ask(system, prompt, 2) for prompt in asked]
            times[repair] = median([trace.ttft for trace in traces])
        exact = all(bill["usage"]["cached_tokens"] > 2000 for bill in system.bills[len(warming) :])
    assert exact, "the passages were not warm"
    targets = TTFT_TARGETS.get(bench.name, (None, None))
    return [
        bench.row(
            f"TTFT, shuffled, passages warm, repair {repair}",
            times[repair],
            "s",
            "llama-server, best",
            best,
            target=best / target if target else None,
            lower_is_better=True,
        )
        for repair, target in zip((0, 16), targets, strict=True)
    ]


async def warming(bench: Bench) -> list[Row]:
    """Time to the first token of a second question: its passages were computed in the quiet before it, or
    not. The system text is warm either way."""
    times: dict[bool, list[float]] = {True: [], False: []}
    front = (bench.supply.take(32), False)

    def question() -> Prompt:
        passages = [(bench.supply.take(load.CHUNK), True) for _ in range(5)]
        return (front, *passages, (bench.supply.take(load.QUESTION), False))

    async with bench.ours(slots=1) as system:
        system.terms["reuse"] = Reuse.APPROXIMATE
        await ask(system, (front, (bench.supply.take(16), True), (bench.supply.take(16), False)), 1)
        for warm in (True, False) * 2:
            second = question()
            if warm:
                await system.warm(second)
            times[warm].append((await ask(system, second, 2)).ttft)
    return [
        bench.row(
            "TTFT of a second question, 5 passages warmed while idle",
            median(times[True]),
            "s",
            "cold",
            median(times[False]),
            lower_is_better=True,
        )
    ]


async def restart(bench: Bench) -> list[Row]:
    """The same prompts in fixed order before and after the process was ended."""
    work = load.zipf_reuse(bench.supply, queries=bench.queries, shuffled=False, n_predict=2)
    async with bench.ours(slots=1) as system:
        system.terms["reuse"] = Reuse.EXACT
        for prompt in work.prompts:
            await ask(system, prompt, 2)
        await system.restart()
        ours = [await ask(system, prompt, 2) for prompt in work.prompts]
    best = await server_ttft(bench, work.prompts)
    mine = median([trace.ttft for trace in ours])
    return [
        bench.row(
            "TTFT, fixed order, exact, after a restart",
            mine,
            "s",
            "llama-server, best",
            best,
            target=best / 5,
            lower_is_better=True,
        )
    ]


async def interference(bench: Bench) -> list[Row]:
    """Somebody reads an answer while a prompt of 4,000 tokens arrives."""
    case = load.interference(bench.supply, long=4000, n_predict=64 if bench.name != "135m" else 192)
    async with bench.ours(slots=2, context=4352) as system:
        # Every token is an event so, also one that is half a character and shows with the next.
        system.sampling = {"logprobs": 0}
        victim, intruder = await disturb(system, case)
    with bench.server(n_ctx=2 * 4352, slots=2, flash=True) as server:
        their_victim, their_intruder = await disturb(server, case)
    gap, their_gap = max(victim.gaps), max(their_victim.gaps)
    return [
        bench.row(
            "worst gap of a reader beside a 4,000-token prompt",
            gap,
            "s",
            "llama-server",
            their_gap,
            target=their_gap / 10,
            lower_is_better=True,
        ),
        bench.row(
            "the newcomer's first token",
            intruder.ttft,
            "s",
            "llama-server",
            their_intruder.ttft,
            target=1.3 * their_intruder.ttft,
            lower_is_better=True,
        ),
    ]


async def crowd(bench: Bench) -> list[Row]:
    """Eight users with unrelated prompts: generated tokens per second of all together."""
    runs: dict[str, list[float]] = {}
    tuned = {"n_ctx": 8 * 3072, "slots": 8, "flash": False}
    async with bench.ours() as ours, contextlib.AsyncExitStack() as open_:
        systems: dict[str, Any] = {"ours": ours}
        # What serves a long prompt sooner need not be what serves eight readers best.
        for repack in {True, bench.repack}:
            systems[f"llama-server, repack {repack}"] = open_.enter_context(
                bench.server(repack=repack, **tuned)
            )
        systems["llama_cpp.server"] = open_.enter_context(PythonServer(bench.file, n_ctx=3072))
        for name, one in [*systems.items()] * 2:
            # New prompts every time: a repeated one would be found in somebody's cache.
            work = load.unrelated(bench.supply, queries=8, length=48, n_predict=64)
            traces = await closed_loop(one, work.prompts, 8, n_predict=64)
            assert summary(traces).failed == 0, [trace.error for trace in traces]
            runs.setdefault(name, []).append(8 * 64 / duration(traces))
    medians = {name: median(rates) for name, rates in runs.items()}
    mine, python_tps = medians["ours"], medians["llama_cpp.server"]
    tuned_tps = max(rate for name, rate in medians.items() if name.startswith("llama-server"))
    return [
        bench.row("8 users, unrelated", mine, "tokens/s", "llama-server, tuned", tuned_tps, target=tuned_tps),
        bench.row(
            "8 users, unrelated", mine, "tokens/s", "llama_cpp.server", python_tps, target=2.5 * python_tps
        ),
    ]


async def collection(bench: Bench) -> list[Row]:
    """Eight users with questions to one collection of passages: answers per minute."""
    work = load.zipf_reuse(bench.supply, queries=16, n_predict=32)
    warming, asked = work.prompts[:8], work.prompts[8:]
    async with bench.ours() as system:
        system.terms["reuse"] = Reuse.APPROXIMATE
        for prompt in warming:
            await ask(system, prompt, 1)
        ours = per_minute(await closed_loop(system, asked, 8, n_predict=32))
    with bench.server(n_ctx=8 * 3072, slots=8, flash=False) as server:
        theirs = per_minute(await closed_loop(server, asked, 8, n_predict=32))
    return [
        bench.row(
            "8 users, one collection, warm",
            ours,
            "answers/min",
            "llama-server, tuned",
            theirs,
            target=5 * theirs,
        )
    ]


async def lookup(bench: Bench) -> list[Row]:
    """Answers that quote, and answers that do not, with and without looking ahead in the passages."""
    passage = bench.supply.take(512)
    prompt: Prompt = ((bench.supply.take(32), False), (passage, True), (bench.supply.take(16), False))
    rates: dict[tuple[str, bool], list[float]] = {}
    for _ in range(2):
        for ahead in (True, False):
            async with bench.ours(slots=1, lookup=ahead) as system:
                for kind in ("quoting", "free"):
                    system.sampling = {"verbatim": True} if kind == "quoting" else {}
                    await ask(system, prompt, 4)
                    trace = await ask(system, prompt, 96)
                    rate = (len(trace.times) - 1) / (trace.times[-1] - trace.t_first)
                    rates.setdefault((kind, ahead), []).append(rate)
    best = {key: max(values) for key, values in rates.items()}
    return [
        bench.row(
            f"decode of {kind} answers with lookup",
            best[kind, True],
            "tokens/s",
            "without",
            best[kind, False],
            target=least * best[kind, False],
        )
        # Random weights leave a quote wherever they may: they show what guessing in vain costs.
        for kind, least in (("quoting", 1.5 if bench.name == "135m" else 0.98), ("free", 0.98))
    ]


async def overhead(bench: Bench) -> list[Row]:
    """What is ours of a step, and what memory is neither weights nor KV."""
    async with bench.ours(slots=1, kv_memory_bytes=0) as system:
        await ask(system, ((bench.supply.take(256), False),), 8)
        before = await system.engine.info()
        await ask(system, ((bench.supply.take(256), False),), 96)
        after = await system.engine.info()
        steps, native = (after[name] - before[name] for name in ("steps_s", "native_s"))
        kv = after["kv"]["token_bytes"] * after["context"] * after["slots"]
        rest = (system.memory_bytes - after["bytes"] - kv) / 1e6
    limit = 10.0 if bench.name == "135m" else 3.0
    return [
        bench.row(
            "Python's part of a step", 100 * (1 - native / steps), "%", target=limit, lower_is_better=True
        ),
        bench.row("memory beyond weights and KV", rest, "MB", target=300.0, lower_is_better=True),
    ]


async def sessions(bench: Bench) -> list[Row]:
    """A thousand conversations that stay open between turns."""
    count = 1000 if bench.name == "135m" else 50
    system_text = bench.supply.take(64)
    async with bench.ours(slots=1, kv_disk_bytes=20_000_000_000) as system:
        system.terms |= {"reuse": Reuse.EXACT, "park": True}
        talks: list[Prompt] = [((system_text, False), (bench.supply.take(16), False)) for _ in range(count)]
        await ask(system, talks[0], 2)
        empty = system.memory_bytes
        for talk in talks[1:]:
            await ask(system, talk, 2)
        await asyncio.sleep(3.0)
        info = await system.engine.info()
        held = system.memory_bytes - empty
        resumed = [await ask(system, talk, 2) for talk in talks[:: max(1, count // 20)]]
    return [
        bench.row(f"memory of a parked session, {count} open", held / count / 1e3, "kB"),
        bench.row("KV in memory of all of them", info["kv"]["memory_bytes"] / 1e6, "MB"),
        bench.row("first token of a parked session", median([one.ttft for one in resumed]) * 1e3, "ms"),
    ]


async def determinism(bench: Bench) -> list[Row]:
    """Short greedy answers, first alone and then eight at once: how many are the same to the letter.

    Nothing that is kept is used, so that the company in a step is all that differs.
    """
    count = GREEDY.get(bench.name, 100)
    prompts: list[Prompt] = [((bench.supply.take(24), False),) for _ in range(count)]
    gate = asyncio.Semaphore(8)
    async with bench.ours() as system:
        system.terms["namespace"] = None

        async def beside_others(prompt: Prompt) -> str:
            async with gate:
                return await system.text(prompt, 16)

        alone = [await system.text(prompt, 16) for prompt in prompts]
        crowded = await asyncio.gather(*map(beside_others, prompts))
    equal = sum(one == other for one, other in zip(alone, crowded, strict=True))
    low, high = rate_interval(equal, count)
    return [
        bench.row(f"greedy answers as alone, 8 at once, of {count}", 100 * equal / count, "%"),
        bench.row("the same, lower end of the 95 % interval", 100 * low, "%"),
        bench.row("the same, upper end", 100 * high, "%"),
    ]


async def sparse(bench: Bench) -> list[Row]:
    """A mixture of experts beside a dense model of the same active size, both random, both Q4_0."""
    dense, moe = (weights.path(name, "Q4_0") for name in ("1b", "moe"))
    found = {
        name: llama_bench(file, prompt=256, answer=24) for name, file in (("dense", dense), ("moe", moe))
    }
    sizes = {name: file.stat().st_size / 1e6 for name, file in (("dense", dense), ("moe", moe))}
    return [
        Row(
            "mixture of experts: prefill",
            found["moe"]["prefill"],
            "tokens/s",
            "dense",
            found["dense"]["prefill"],
        ),
        Row(
            "mixture of experts: decode",
            found["moe"]["decode"],
            "tokens/s",
            "dense",
            found["dense"]["decode"],
        ),
        Row("mixture of experts: file", sizes["moe"], "MB", "dense", sizes["dense"]),
    ]


async def server_ttft(bench: Bench, prompts: Sequence[Prompt]) -> float:
    """llama-server's best median: as it comes with flash attention, and off with moved runs of its cache."""
    medians = []
    for flash, cache_reuse in ((True, 0), (False, 256)):
        with bench.server(n_ctx=3072, slots=1, flash=flash, cache_reuse=cache_reuse) as server:
            # The first one warms what it can keep.
            traces = [await ask(server, prompt, 2) for prompt in prompts]
        medians.append(median([trace.ttft for trace in traces[1:] or traces]))
    return min(medians)


def per_minute(traces: Sequence[Trace]) -> float:
    assert summary(traces).failed == 0, [trace.error for trace in traces]
    return 60 * len(traces) / duration(traces)


def duration(traces: Sequence[Trace]) -> float:
    """Seconds from the first question to the last token."""
    return max(trace.times[-1] for trace in traces) - min(trace.t_start for trace in traces)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


EXPERIMENTS: dict[str, Callable[[Bench], Awaitable[list[Row]]]] = {
    one.__name__: one  # type: ignore[attr-defined]
    for one in (
        cold,
        reuse,
        warming,
        restart,
        interference,
        crowd,
        collection,
        lookup,
        overhead,
        sessions,
        determinism,
    )
}


def prepare(name: str, folder: Path) -> Bench:
    """The model's file, a home that knows it, and its tokeniser."""
    made = MODELS[name]
    file = weights.path(*made) if made else locate(entry("smollm2-135m-instruct"))
    home = folder / name
    home.mkdir()
    model = at_home(home, file if made else None)
    reader = Model(file, context=64, slots=1, micro_batch=32, threads=1)
    supply = Supply(lambda text: reader.tokens(text, control=False))
    endings = sorted(reader.endings)
    # Only the weights are ours to choose: threads and steps are what the peers get.
    pins = Pinned(threads=cores(), micro_batch=512, flash_attention=False)
    chosen = tune(entry(model, home), file, home, pins=pins)
    print(f"{name}: weights {'repacked' if chosen.repack else 'as in the file'}; {chosen.note}", flush=True)
    return Bench(name, file, home, model, supply, endings, chosen.repack)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], default=["135m", "1b"])
    parser.add_argument("--only", nargs="*", default=[*EXPERIMENTS], choices=[*EXPERIMENTS])
    chosen = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in chosen.models:
            bench = prepare(name, Path(folder))
            for only in chosen.only:
                print(f"{name}: {only} …", flush=True)
                rows += asyncio.run(EXPERIMENTS[only](bench))
                write("engine", rows)
        if "1b" in chosen.models and len(chosen.only) == len(EXPERIMENTS):
            rows += asyncio.run(sparse(bench))
    write("engine", rows)


if __name__ == "__main__":
    main()
