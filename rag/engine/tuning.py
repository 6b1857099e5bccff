"""Which weights, threads, attention and step size are fastest for this model here: measured in a child."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from rag import throwaway
from rag.engine.cores import cores
from rag.errors import ModelError
from rag.models.check import Flags, fingerprint
from rag.models.lockfile import Entry
from rag.remembered import recall, remember
from rag.settings import EngineSettings

MICRO_BATCH = 512
MARGIN = 0.08  # what a shared machine's noise may pretend; below it the default stays
FORMAT = "2"  # raised when what is measured changes its meaning
BUSY = 0.05  # part of the time that others may take before a measurement is not believed
BUSY_LASTS_S = 3600.0  # how long such a measurement is not repeated
PATIENCE = 3.0  # budgets that a child may take before it is given up

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Pinned:
    """What the settings say themselves, and so is not tried otherwise. None: free."""

    threads: int | None = None
    micro_batch: int | None = None
    flash_attention: bool | None = None
    repack: bool | None = None


FREE = Pinned()


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to run a model here, and how fast it was.

    `threads` decode, `batch_threads` read prompts, in micro-batches of `micro_batch` tokens. `repack`: the
    weights are rearranged for this CPU as they are loaded (llama.cpp's extra buffer types). Speeds are
    tokens per second: reading at the beginning of a prompt, and one sequence that decodes behind `depth`
    tokens. Behind that depth too: `decode_ms`, one step of so many sequences; `prefill_ms_per_token`, what a
    prompt's token adds to a step; `crossover`, how many of those cost what a decode step costs (S_PP / S_TG).
    `bandwidth_gbs` and `gflops` are the machine's own, of the same minute.
    `seconds`: what measuring took, of which the part `waited` was lost to other processes. `note` says why
    it is so; where `prefill_tps` is 0, why nothing was measured.
    """

    threads: int
    batch_threads: int
    micro_batch: int = MICRO_BATCH
    flash_attention: bool = False
    repack: bool = True
    prefill_tps: float = 0.0
    decode_tps: float = 0.0
    depth: int = 0
    decode_ms: dict[int, float] = field(default_factory=dict)
    prefill_ms_per_token: float = 0.0
    crossover: float = 1.0
    bandwidth_gbs: float = 0.0
    gflops: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    note: str = ""

    @classmethod
    def default(cls, pins: Pinned = FREE, note: str = "") -> Tuning:
        """What runs without a measurement: all cores, flash attention off, weights repacked."""
        threads = pins.threads or cores()
        return cls(
            threads=threads,
            batch_threads=threads,
            micro_batch=pins.micro_batch or MICRO_BATCH,
            flash_attention=bool(pins.flash_attention),
            repack=pins.repack is not False,
            note=note,
        )

    @property
    def is_measured(self) -> bool:
        return self.prefill_tps > 0

    def step_ms(self, decoding: int, prompt_tokens: int = 0) -> float:
        """What a step of so many decoding sequences and prompt tokens takes; 0 if nothing was measured.

        Between measured batches it is interpolated, beyond the largest each token costs as one of a prompt.
        """
        if not self.is_measured:
            return 0.0
        sizes = sorted(self.decode_ms)
        inside = min(max(decoding, sizes[0]), sizes[-1])
        below = max(size for size in sizes if size <= inside)
        above = min(size for size in sizes if size >= inside)
        part = (inside - below) / (above - below) if above > below else 0.0
        base = self.decode_ms[below] + part * (self.decode_ms[above] - self.decode_ms[below])
        extra = max(0, decoding - sizes[-1]) + prompt_tokens - (0 if decoding else 1)
        return base + max(0, extra) * self.prefill_ms_per_token


Measure = Callable[[list[str], float], str]


def tune(
    entry: Entry,
    path: Path,
    home: Path,
    *,
    pins: Pinned = FREE,
    gpu_layers: int | str = 0,
    budget_s: float | None = None,
    measure: Measure | None = None,
) -> Tuning:
    """How to run the model here; measured at the first call, in about `budget_s`, with the model loaded once
    more, and remembered in `tuning.json` of the home.

    Never raises for what a child did: the default is returned with a note, and the next start tries again.
    """
    file = home / "tuning.json"
    facts = [fingerprint(entry), FORMAT, cores(), pins, gpu_layers]
    key = hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()
    if tuning := _parse(_still_good(recall(file).get(key))):
        return tuning
    budget_s = budget_s or budget(path.stat().st_size)
    options = {
        "threads": sorted({pins.threads} if pins.threads else thread_counts(), reverse=True),
        "flash": [False, True] if pins.flash_attention is None else [pins.flash_attention],
        "micro_batches": [pins.micro_batch] if pins.micro_batch else [512, 256, 128],
        "gpu_layers": gpu_layers,
        "repack": [True, False] if pins.repack is None else [pins.repack],
        "budget_s": budget_s,
    }
    command = [sys.executable, "-m", "rag.engine.tuning_trial", str(path), json.dumps(options)]
    try:
        tuning = _parse(json.loads((measure or run)(command, PATIENCE * budget_s + 10)))
    except (ModelError, ValueError) as error:
        return Tuning.default(pins, f"not tuned: {error}")
    if tuning is None:
        return Tuning.default(pins, "not tuned: the measuring child gave no result")
    lasts_s = float("inf")
    if tuning.waited > BUSY:
        tuning, lasts_s = _on_a_busy_machine(tuning, pins), BUSY_LASTS_S
    # Keys of other builds and CPUs stay: a home may be shared by machines.
    with contextlib.suppress(OSError):  # forgetting only costs a second measurement
        remember(file, key, asdict(tuning) | {"until": time.time() + lasts_s})
    return tuning


def _on_a_busy_machine(tuning: Tuning, pins: Pinned) -> Tuning:
    # Who shares the cores finds fewer threads faster, and would be wrong an hour later.
    calm = Tuning.default(pins)
    return replace(
        tuning,
        threads=calm.threads,
        batch_threads=calm.batch_threads,
        micro_batch=calm.micro_batch,
        flash_attention=calm.flash_attention,
        repack=calm.repack,
        note=f"the machine was busy ({tuning.waited:.0%} of the time went to others): the defaults stay, and "
        f"a start in an hour measures again; {tuning.note}",
    )


def budget(size: int) -> float:
    """Seconds worth spending on a model of so many bytes: 6 on the bundled one, 20 from 0.7 GB on."""
    return min(20.0, 3.5 + size / 0.04e9)


def thread_counts() -> list[int]:
    """All logical cores, the physical ones, and half of all; the default first."""
    everything = cores()
    return list(dict.fromkeys([everything, min(everything, physical_cores()), max(1, everything // 2)]))


def physical_cores(cpus: Path = Path("/sys/devices/system/cpu")) -> int:
    """Cores that this process may use, hyper-threads of one counted once; all where the system is silent."""
    siblings = {
        file.read_text()
        for cpu in os.sched_getaffinity(0)
        if (file := cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list").exists()
    }
    return len(siblings) or cores()


def pick(cost: Mapping[Name, float], default: Name) -> Name:
    """The cheapest, if it beats the default by more than MARGIN; else the default."""
    best = min(cost, key=lambda name: cost[name])
    return best if cost[best] < cost[default] * (1 - MARGIN) else default


def run(command: list[str], timeout_s: float) -> str:
    """What the measuring child writes. Raises ModelError with its last words."""
    try:
        ending = throwaway.run(command, timeout_s=timeout_s)
    except TimeoutError:
        raise ModelError(f"measuring took longer than {timeout_s:g} s") from None
    if ending.status:
        raise ModelError(f"the measuring child failed: {ending.why}")
    return ending.output


def _still_good(values: Any) -> Any:
    """What was remembered, unless its time is over."""
    if not isinstance(values, dict):
        return None
    return (
        {name: value for name, value in values.items() if name != "until"}
        if (values.get("until", 0.0) > time.time())
        else None
    )


def tuned(entry: Entry, path: Path, home: Path, engine: EngineSettings, flags: Flags) -> Tuning:
    """How the settings want the model run here, with kernels that do not crash."""
    pins = pinned(engine, flags)
    if not engine.tune:
        return Tuning.default(pins)
    return tune(entry, path, home, pins=pins, gpu_layers=engine.gpu_layers)


def pinned(engine: EngineSettings, flags: Flags) -> Pinned:
    """What the settings fix, and what this build cannot do."""
    flash = None if engine.flash_attention == "auto" else engine.flash_attention == "on"
    repack = None if engine.repack == "auto" else engine.repack == "on"
    return Pinned(
        threads=engine.threads or None,
        micro_batch=engine.micro_batch or None,
        flash_attention=flash,
        repack=repack if flags.use_extra_bufts else False,
    )


def _parse(values: Any) -> Tuning | None:
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        tuning = Tuning(**values)
        return replace(tuning, decode_ms={int(size): float(ms) for size, ms in tuning.decode_ms.items()})
    return None
