"""Our engine as a system under load, fed with the same tokens as its peers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from load import Prompt

from rag.engine.generator import Engine, Reuse
from rag.models.intake import Keep, Wish, add
from rag.models.lockfile import entry, load_lock
from rag.models.shelf import Shelf
from rag.settings import EngineSettings

BUNDLED = "smollm2-135m-instruct"


class Ours:
    """An engine child in a home. Answers never end early: what ends a turn is banned."""

    def __init__(self, home: Path, model: str, endings: list[int], **settings: Any) -> None:
        self.settings = EngineSettings(model=model, unproven_reuse=True, **settings)
        self.engine = Engine.of(home, self.settings)
        self.bias = [[token, -100.0] for token in endings]
        self.terms: dict[str, Any] = {"namespace": "bench", "reuse": Reuse.OFF}
        self.sampling: dict[str, Any] = {}
        self.bills: list[dict[str, Any]] = []

    async def stream(self, segments: Prompt, n_predict: int) -> AsyncIterator[float]:
        """The time of each token; tokens that come together have the same."""
        said = 0
        async with contextlib.aclosing(self.events(segments, n_predict)) as events:  # type: ignore[type-var]
            async for event in events:
                moment = time.perf_counter()
                if "text" in event:
                    said += 1
                    yield moment
                else:
                    self.bills.append(event)
                    for _ in range(event["usage"]["completion_tokens"] - said):
                        yield moment

    async def text(self, segments: Prompt, n_predict: int) -> str:
        """What it says."""
        async with contextlib.aclosing(self.events(segments, n_predict)) as events:  # type: ignore[type-var]
            return "".join([event["text"] async for event in events if "text" in event])

    def events(self, segments: Prompt, n_predict: int) -> AsyncIterator[dict[str, Any]]:
        """What the engine child says, as it comes over the wire."""
        prompt = [[list(tokens), False, chunk] for tokens, chunk in segments]
        sampling = {"max_tokens": n_predict, "logit_bias": self.bias, **self.sampling}
        return self.engine.worker.stream("stream", prompt=prompt, sampling=sampling, terms=self.terms)

    async def warm(self, segments: Prompt) -> None:
        """Have the passages of a prompt computed in a quiet moment, and wait for the end of it."""
        prompt = [[list(tokens), False, chunk] for tokens, chunk in segments]
        await self.engine.worker.call("warm", prompt=prompt, terms=self.terms)
        while (await self.engine.info())["to_warm"]:
            await asyncio.sleep(0.1)

    async def start(self) -> Ours:
        """Wait until the child is ready."""
        await self.engine.info()
        return self

    async def restart(self) -> None:
        """End the child, which writes its KV, and start another."""
        await self.engine.close()
        await self.engine.info()

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the child."""
        status = Path(f"/proc/{self.engine.worker.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


def at_home(home: Path, file: Path | None) -> str:
    """The name under which a home knows a model file; None is the bundled model."""
    if file is None:
        return BUNDLED
    name = file.stem.lower()
    if name not in load_lock(home):
        add(Shelf(home), file, Wish(name=name, licence="none", template="chatml"), keep=Keep.LINK)
    return entry(name, home).name
