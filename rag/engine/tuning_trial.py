"""The throw-away child of tuning.py: measures one model under llama.cpp and prints a Tuning as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from rag.engine import roofline
from rag.engine.rig import CROWD, Rig, free, layers_on_gpu, load
from rag.engine.tuning import Tuning, pick
from rag.errors import ModelError
from rag.silence import silence

CROWDS = (1, 2, 4, CROWD)
PIECES = (512, 256, 128, 64, 32)
ROUNDS = 5
SAME = 0.8  # of the time to read repacked; above it noise may be all there is
PROMPT, ANSWER = 1000, 96  # the request that weights and attention are chosen for: tokens read, said

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Options:
    """What tuning.py asks for; of `repack`, `threads` and `micro_batches` the first is the default."""

    threads: list[int]
    flash: list[bool]
    micro_batches: list[int]
    repack: list[bool]
    gpu_layers: int | Literal["auto", "all"]
    budget_s: float


class Trial:
    """The measurements under one budget, in the order of what they decide.

    Weights as in the file are mapped, so that trying them beside repacked ones takes no more memory.
    """

    def __init__(self, path: str, options: Options, *, began: float) -> None:
        self.began = began
        self.options = options
        self.reasons: list[str] = []
        layers = layers_on_gpu(path, options.gpu_layers)
        # Layers on a GPU are not repacked, and two copies might not fit there.
        tried = options.repack[:1] if layers else options.repack
        self.models = {repack: load(path, gpu_layers=layers, repack=repack) for repack in tried}
        self.rigs: dict[bool, Rig] = {}

    def measure(self) -> Tuning:
        """Weights first, then attention, threads behind it, then batches, then the size of a micro-batch."""
        options = self.options
        repack = self._repack()
        self.rigs |= {flash: self._rig(repack, flash) for flash in options.flash[1:]}
        piece = self._piece([self.rigs[options.flash[0]]])
        flash, flat = self._flash(piece)
        rig = self.rigs[flash]
        readers = self._fastest({n: partial(rig.read, piece, threads=n) for n in options.threads}, 0.1)
        talkers = self._fastest({n: partial(rig.decode, threads=n) for n in options.threads}, 0.05)
        batch_threads, threads = pick(readers, options.threads[0]), pick(talkers, options.threads[0])
        crowds = self._fastest({size: partial(rig.decode, size, threads=threads) for size in CROWDS}, 0.15)
        tried = ", ".join(f"{1000 * talkers[n]:.1f} ms with {n}" for n in options.threads)
        self.reasons.append(f"threads: a token takes {tried}")
        depth = rig.depth
        rig.empty()
        micro_batch, per_token = self._micro_batch(rig, batch_threads)
        per_token = per_token or flat / piece
        slope = max(1e-6, (readers[batch_threads] - crowds[1]) / (piece - 1))
        return Tuning(
            threads=threads,
            batch_threads=batch_threads,
            micro_batch=micro_batch,
            flash_attention=flash,
            repack=repack,
            prefill_tps=round(1 / per_token, 1),
            decode_tps=round(1 / crowds[1], 2),
            depth=depth,
            decode_ms={size: round(1000 * seconds, 3) for size, seconds in crowds.items()},
            prefill_ms_per_token=round(1000 * slope, 4),
            crossover=round(max(1.0, crowds[1] / slope), 2),
            note="; ".join(self.reasons),
        )

    def close(self) -> None:
        for rig in self.rigs.values():
            rig.close()
        for model in self.models.values():
            free(model)

    def _rig(self, repack: bool, flash: bool) -> Rig:
        largest = max(*PIECES, *self.options.micro_batches)
        return Rig(self.models[repack], flash=flash, threads=self.options.threads[0], largest=largest)

    def _repack(self) -> bool:
        """Which weights serve a typical request sooner: one step of a prompt may be slower with those that
        make one step of an answer faster. Their rig stays, with the default attention."""
        default = self.options.flash[0]
        rigs = {repack: self._rig(repack, default) for repack in self.models}
        repack = self._better(rigs) if len(rigs) > 1 else self.options.repack[0]
        self.rigs[default] = rigs.pop(repack)
        for other, rig in rigs.items():
            rig.close()
            free(self.models.pop(other))
        return repack

    def _better(self, rigs: Mapping[bool, Rig]) -> bool:
        piece = self._piece(rigs.values())
        reads = self._fastest({repack: partial(rig.read, piece) for repack, rig in rigs.items()}, 0.1)
        says = self._fastest({repack: rig.decode for repack, rig in rigs.items()}, 0.05)
        cost = {repack: request_s(reads[repack] / piece, says[repack]) for repack in rigs}
        self.reasons.append(
            f"a request takes {cost[True] / cost[False]:.2f} times as long with repacked weights as without"
        )
        return is_worth_repacking(reads, cost)

    def _piece(self, rigs: Iterable[Rig]) -> int:
        """The longest stretch of a prompt that can be read about a dozen times within the budget."""
        smallest = PIECES[-1]
        per_token = 0.0
        for rig in rigs:
            rig.read(smallest)  # the weights come from disk in this one
            per_token = max(per_token, rig.read(smallest) / smallest)
        room = 0.5 * (self.options.budget_s - self._spent()) / 12
        return next((size for size in PIECES if size * per_token < room), smallest)

    def _flash(self, piece: int) -> tuple[bool, float]:
        """Which attention serves a typical request sooner; and its seconds for a piece without depth."""
        rigs = self.rigs
        flat = self._fastest({flash: partial(rig.read, piece) for flash, rig in rigs.items()}, 0.1)
        for rig in rigs.values():
            rig.deepen()
        deep = self._fastest({flash: partial(rig.read, piece) for flash, rig in rigs.items()}, 0.1)
        says = self._fastest({flash: rig.decode for flash, rig in rigs.items()}, 0.05)
        cost = {flash: request_s((flat[flash] + deep[flash]) / 2 / piece, says[flash]) for flash in rigs}
        flash = pick(cost, self.options.flash[0])
        if len(cost) > 1:
            ratio = cost[True] / cost[False]
            self.reasons.append(f"a request takes {ratio:.2f} times as long with flash attention as without")
        return flash, flat[flash]

    def _micro_batch(self, rig: Rig, threads: int) -> tuple[int, float | None]:
        """The best size and its seconds per token, by what is left of the budget; None: nothing was left."""
        sizes = self.options.micro_batches
        room = self.options.budget_s - self._spent()
        per_token = rig.read(PIECES[-2], threads=threads) / PIECES[-2]
        while len(sizes) > 1 and sum(sizes) * per_token > room:
            sizes = sizes[:1] + sizes[2:]
        if sum(sizes) * per_token > room:
            self.reasons.append("no time was left to try micro-batches")
            return self.options.micro_batches[0], None
        runs = {size: partial(rig.read, size, threads=threads) for size in sizes}
        times = self._fastest(runs, room / self.options.budget_s)
        cost = {size: seconds / size for size, seconds in times.items()}
        best = pick(cost, sizes[0])
        self.reasons.append(
            "micro-batches " + ", ".join(f"{size}: {1 / cost[size]:.0f} tokens/s" for size in sizes)
        )
        return best, cost[best]

    def _fastest(self, runs: Mapping[Name, Callable[[], float]], share: float) -> dict[Name, float]:
        """The least seconds of each in interleaved rounds: at least one, more while its share lasts."""
        best: dict[Name, float] = {}
        began = time.perf_counter()
        for number in range(ROUNDS):
            spent = time.perf_counter() - began
            if number and spent * (number + 1) / number > share * self.options.budget_s:
                break
            for name, run in runs.items():
                best[name] = min(best.get(name, float("inf")), run())
        return best

    def _spent(self) -> float:
        return time.perf_counter() - self.began


def request_s(token_s: float, step_s: float) -> float:
    """Seconds of a typical request, by those of a token read and of a token said."""
    return PROMPT * token_s + ANSWER * step_s


def is_worth_repacking(reads: Mapping[bool, float], cost: Mapping[bool, float]) -> bool:
    """Whether to repack, by the seconds of a piece of a prompt and of a request, with and without.

    The kernels for weights as they are win by reading or not at all. Of some types nothing is repacked: both
    are the same then, and noise must not change what KV is kept under.
    """
    return reads[False] > SAME * reads[True] or pick(cost, True)


def waiting_s(schedstat: Path = Path("/proc/thread-self/schedstat")) -> float:
    """Seconds that this thread was ready and others had its core; 0 where the system does not count them."""
    try:
        return int(schedstat.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def main() -> None:
    """Measure the model of the first argument as the second, JSON, says."""
    silence()
    began = time.perf_counter()
    options = Options(**json.loads(sys.argv[2]))
    try:
        limits = roofline.measure(max(options.threads))
        trial = Trial(sys.argv[1], options, began=began)
        tuning = trial.measure()
        trial.close()
        waited = waiting_s() / (time.perf_counter() - began)
    except ModelError as error:
        sys.exit(str(error))
    seconds = round(time.perf_counter() - began, 2)
    print(json.dumps(asdict(tuning) | asdict(limits) | {"seconds": seconds, "waited": round(waited, 3)}))


if __name__ == "__main__":
    main()
