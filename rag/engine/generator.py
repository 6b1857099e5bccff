"""The role of whoever turns a prompt into text, and the one who fills it: an engine in a child process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from rag.engine.prompt import Piece
from rag.settings import EngineSettings
from rag.types import Usage
from rag.workers import Worker


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; top_k 0 is no limit; a stop string is never shown."""

    max_tokens: int = 96
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    repeat_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class Delta:
    """Some more text: whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream. `prefill_s` runs from the first computed token to the first generated one,
    `decode_s` from there on; `cpu_s` is this sequence's part of the CPU-seconds of its steps."""

    reason: Literal["stop", "length"]
    usage: Usage
    prefill_s: float
    decode_s: float
    cpu_s: float


class Generator(Protocol):
    """Anything that continues a prompt."""

    def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, *, namespace: str | None = None
    ) -> AsyncIterator[Delta | Finished]:
        """The answer as it comes, then one Finished; closing the iterator stops the work.

        Prompts of one `namespace` (a tenant and its groups) may share cached KV; None shares with nobody.
        """
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


class Engine:
    """The generator on llama.cpp, in a supervised child."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    @classmethod
    def of(cls, home: Path, settings: EngineSettings) -> Engine:
        """An engine for the settings; its child starts at the first call."""
        config = {"home": str(home), "engine": settings.model_dump(mode="json")}
        return cls(Worker("rag.engine.engine:EngineService", config, name="engine"))

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, *, namespace: str | None = None
    ) -> AsyncIterator[Delta | Finished]:
        pieces = [[piece.text, piece.control] for piece in prompt]
        events = self.worker.stream("stream", prompt=pieces, sampling=asdict(sampling), namespace=namespace)
        async with contextlib.aclosing(events):  # type: ignore[type-var]
            async for event in events:
                yield Delta(event["text"]) if "text" in event else _finished(event)

    async def count(self, texts: Sequence[str]) -> list[int]:
        counts: list[int] = await self.worker.call("count", texts=list(texts))
        return counts

    async def info(self) -> dict[str, Any]:
        info: dict[str, Any] = await self.worker.call("info")
        return info

    async def close(self) -> None:
        await self.worker.stop()


def _finished(event: dict[str, Any]) -> Finished:
    return Finished(**{**event, "usage": Usage(**event["usage"])})
