"""The role of whoever turns a prompt into text, and the one who fills it: an engine in a child process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any, Literal, Protocol

from rag.engine.prompt import Piece
from rag.errors import RagError, WorkerDied, WorkerTimeout
from rag.settings import EngineSettings
from rag.types import Usage
from rag.workers import Worker


class Priority(StrEnum):
    """Whose turn comes first: someone who waits at a screen, or work that nobody watches."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class Reuse(StrEnum):
    """Which cached KV a prompt may be answered from.

    EXACT: of the same tokens behind the same tokens. APPROXIMATE: of a passage behind the same beginning, at
    whatever position it stood. OFF: none.
    """

    OFF = "off"
    EXACT = "exact"
    APPROXIMATE = "approximate"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; top_k 0 and min_p 0 are no limit; a stop string is never
    shown. Penalties look at generated tokens only.

    `logit_bias`: what is added to the logits of tokens by number. `logprobs`: how many alternatives are
    reported beside each drawn token; None reports nothing. At most one of `grammar` (GBNF), `json_schema` (a
    JSON Schema as JSON text; "{}" is any object) and `verbatim` (only runs of the prompt's passages).
    """

    max_tokens: int = 96
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    grammar: str = ""
    json_schema: str = ""
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How a request is served.

    Prompts of one `namespace` (a tenant and its groups) may share cached KV; None shares with nobody.
    Requests of one `user` take turns with those of others. `repair`: tokens at the head of each passage that
    are computed again when its KV is reused approximately. `replayable`: the same bytes today and in an
    audit on this machine, at the price of all sharing (D3 in README). `park`: keep the KV of prompt and
    answer for the next turn. `epoch`: the last removal of a document (rag.store.revocation) before the
    passages were looked up: no KV of the request is kept if there was one since; None: before it comes in.
    """

    namespace: str | None = None
    user: str = ""
    priority: Priority = Priority.INTERACTIVE
    reuse: Reuse = Reuse.EXACT
    repair: int = 0
    replayable: bool = False
    park: bool = False
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Logprob:
    """A drawn token: its text, its number, the natural logarithm of its probability before any sampling
    limit, and the likeliest `top` tokens in the same form."""

    text: str
    token: int
    logprob: float
    top: tuple[tuple[str, int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """Some more text: whole characters."""

    text: str
    logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream. `prefill_s` runs from the first computed token to the first generated one,
    `decode_s` from there on; `cpu_s` is this sequence's part of the CPU-seconds of its steps. Of `drafted`
    tokens, looked up in the passages, `accepted` were what the model would have said.

    `slot_s` is this sequence's part of the wall time of its steps, by tokens: over all sequences they add up
    to the time the engine worked; `prefill_slot_s` of it went into the prompt. `queue_s`: the wait before the
    first step; `batch`: sequences per step, itself included, on average."""

    reason: Literal["stop", "length"]
    usage: Usage
    prefill_s: float
    decode_s: float
    cpu_s: float
    drafted: int = 0
    accepted: int = 0
    slot_s: float = 0.0
    prefill_slot_s: float = 0.0
    queue_s: float = 0.0
    batch: float = 0.0


SHARED_WITH_NOBODY = Terms()


class Generator(Protocol):
    """Anything that continues a prompt."""

    def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        """The answer as it comes, then one Finished; closing the iterator stops the work."""
        ...

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        """A hint, answered by nothing: the passages of this prompt may be asked for soon, likeliest first."""
        ...

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, read as ordinary text."""
        ...

    async def info(self) -> dict[str, Any]:
        """What runs: model, digest, build, and how busy it is."""
        ...

    async def close(self) -> None:
        """End what was started."""
        ...


STILL_S, LOOKS = 60.0, 10  # how long a child that owes an answer may do nothing, in so many looks
LEAST_SHARE = 0.01  # of a core: whoever computes, however slowly, takes more


class Engine:
    """The generator on llama.cpp, in a supervised child, which is ended when it hangs."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._owing, self._heard, self._hung = 0, 0, 0
        self._watch: asyncio.Task[None] | None = None
        self._hints: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, home: Path, settings: EngineSettings) -> Engine:
        """An engine for the settings; its child starts at the first call."""
        config = {"home": str(home), "engine": settings.model_dump(mode="json")}
        return cls(Worker("rag.engine.engine:EngineService", config, name="engine"))

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        arguments = {"prompt": _wire(prompt), "sampling": asdict(sampling), "terms": asdict(terms)}
        events = self.worker.stream("stream", **arguments)
        async with self._owed(), contextlib.aclosing(events):  # type: ignore[type-var]
            async for event in events:
                self._heard += 1
                yield _delta(event) if "text" in event else _finished(event)

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        if self.worker.pid:  # nobody starts a child for what may be asked
            hint = asyncio.create_task(self._warm(prompt, terms))
            self._hints.add(hint)  # the loop itself holds tasks weakly
            hint.add_done_callback(self._hints.discard)

    async def _warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        with contextlib.suppress(RagError):
            await self.worker.call("warm", prompt=_wire(prompt), terms=asdict(terms))

    async def count(self, texts: Sequence[str]) -> list[int]:
        async with self._owed():
            counts: list[int] = await self.worker.call("count", texts=list(texts))
        return counts

    async def info(self) -> dict[str, Any]:
        async with self._owed():
            info: dict[str, Any] = await self.worker.call("info")
        return info

    async def close(self) -> None:
        for hint in self._hints:
            hint.cancel()
        await asyncio.gather(*self._hints, return_exceptions=True)
        await self.worker.stop()

    @contextlib.asynccontextmanager
    async def _owed(self) -> AsyncIterator[None]:
        """Around what the child owes an answer for. Raises WorkerTimeout if it was ended because it hung."""
        await self.worker.start()
        pid = self.worker.pid
        self._owing += 1
        self._watch = self._watch or asyncio.create_task(self._end_a_hang())
        try:
            yield
        except WorkerDied:
            if pid and pid == self._hung:
                raise WorkerTimeout(
                    f"the engine process neither said nor computed anything for {STILL_S:g} s; it was ended "
                    "and starts anew at the next call"
                ) from None
            raise
        finally:
            self._owing -= 1
            self._heard += 1
            if not self._owing and self._watch:
                self._watch.cancel()
                self._watch = None

    async def _end_a_hang(self) -> None:
        # Looks are counted, not seconds: both processes may have been stopped for a while.
        last, still = (0, 0, 0.0), 0
        while True:
            pid = self.worker.pid or 0
            now = (pid, self._heard, _cpu_s(pid))
            rests = now[:2] == last[:2] and now[2] - last[2] < LEAST_SHARE * STILL_S / LOOKS
            last, still = now, still + 1 if rests else 0
            if pid and still >= LOOKS:
                still = 0
                await self._make_sure(pid)
            await asyncio.sleep(STILL_S / LOOKS)

    async def _make_sure(self, pid: int) -> None:
        # It may be done, and whoever asked does not listen.
        try:
            await self.worker.call("info", timeout_s=STILL_S / 4)
        except WorkerTimeout:
            if self.worker.pid == pid:
                self._hung = pid
                os.kill(pid, signal.SIGKILL)
        except RagError:
            pass  # it ended by itself


def _wire(prompt: Sequence[Piece]) -> list[list[Any]]:
    return [[piece.text, piece.control, piece.chunk] for piece in prompt]


def _cpu_s(pid: int) -> float:
    """CPU-seconds that a process took so far; infinite where that cannot be told, or while it waits for a
    disk, which is work too."""
    with contextlib.suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if state != "D":
            return (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")
    return inf


def _delta(event: dict[str, Any]) -> Delta:
    chances = tuple(
        Logprob(one["text"], one["token"], one["logprob"], tuple(map(tuple, one["top"])))
        for one in event.get("logprobs", ())
    )
    return Delta(event["text"], chances)


def _finished(event: dict[str, Any]) -> Finished:
    return Finished(**{**event, "usage": Usage(**event["usage"])})
