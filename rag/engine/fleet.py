"""Several models within one budget of memory: each in a child of its own, started when it is asked for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.engine.footprint import memory_bytes
from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Engine, Finished, Sampling, Terms
from rag.engine.machine import usable_bytes
from rag.engine.prompt import Piece
from rag.errors import ModelError, Overloaded
from rag.models.lockfile import entry, locate
from rag.settings import EngineSettings

SHARE = 0.75  # of the machine's memory; the rest is for the index, the pages of files and other programs


@dataclass(slots=True)
class Resident:
    """An engine, the memory it is expected to take, how many it serves, and when it was last asked."""

    engine: Engine
    bytes: int
    requests: int = 0
    asked: int = 0

    @property
    def taken(self) -> int:
        """Bytes that count: none for a child that does not live, unless somebody waits for it."""
        return self.bytes if self.requests or self.engine.worker.pid else 0


class Fleet:
    """Engines by the names of their models. Lives on one event loop. `contexts`: tokens of one sequence, of
    models that have other than the settings say.

    When another model is asked for and the budget does not hold it as well, idle engines are stopped, the
    least recently asked first; one that serves somebody never is.
    """

    def __init__(
        self, home: Path, settings: EngineSettings, contexts: Mapping[str, int] | None = None
    ) -> None:
        self.home, self.settings, self.contexts = home, settings, dict(contexts or {})
        self.budget = settings.memory_bytes or int(SHARE * usable_bytes())
        self._residents: dict[str, Resident] = {}
        self._changing = asyncio.Lock()
        self._turns = itertools.count(1)

    def generator(self, model: str) -> Member:
        """The generator of that model. Raises UnknownModel; its calls raise ModelError if it cannot fit, and
        Overloaded while those that serve leave no room."""
        entry(model, self.home)
        return Member(self, model)

    def running(self) -> dict[str, int]:
        """The models whose engines live, and the bytes that each counts for."""
        return {name: resident.taken for name, resident in self._residents.items() if resident.taken}

    @asynccontextmanager
    async def lease(self, model: str) -> AsyncIterator[Engine]:
        """The engine of a model, which is not stopped meanwhile."""
        resident = self._residents.get(model)
        if resident is None or not resident.taken:
            async with self._changing:
                resident = await self._resident(model)
                resident.requests += 1
        else:
            resident.requests += 1
        resident.asked = next(self._turns)
        try:
            yield resident.engine
        finally:
            resident.requests -= 1

    def living(self, model: str) -> Engine | None:
        """The engine of a model if it lives."""
        resident = self._residents.get(model)
        return resident.engine if resident and resident.taken else None

    async def close(self) -> None:
        """End every child."""
        async with self._changing:
            residents = list(self._residents.values())
            self._residents.clear()
            await asyncio.gather(*(resident.engine.close() for resident in residents))

    async def _resident(self, model: str) -> Resident:
        """The resident of a model with room made for it."""
        resident = self._residents.get(model)
        if resident is None:
            context = self.contexts.get(model, self.settings.context)
            settings = self.settings.model_copy(update={"model": model, "context": context})
            path = locate(entry(model, self.home), self.home)
            need = await asyncio.to_thread(memory_bytes, path, settings)
            resident = Resident(Engine.of(self.home, settings), need)
        if not resident.taken:
            await self._make_room(model, resident.bytes)
        return self._residents.setdefault(model, resident)

    async def _make_room(self, model: str, need: int) -> None:
        if need > self.budget:
            raise ModelError(
                f"model {model!r} would take {gb(need)}, engine.memory_bytes allows {gb(self.budget)}: raise "
                "it, or lower engine.context, engine.slots or engine.kv_memory_bytes"
            )
        # Looked at anew each time: an engine may be asked while another one ends.
        while need + sum(self.running().values()) > self.budget:
            idle = [name for name, one in self._residents.items() if one.taken and not one.requests]
            serving = {name: size for name, size in self.running().items() if name not in idle}
            if need + sum(serving.values()) > self.budget:
                busy = ", ".join(f"{name} ({gb(size)})" for name, size in serving.items())
                raise Overloaded(
                    f"model {model!r} would take {gb(need)} of the {gb(self.budget)} of engine.memory_bytes, "
                    f"and others serve: {busy}; try again soon"
                )
            oldest = min(idle, key=lambda name: self._residents[name].asked)
            await self._residents.pop(oldest).engine.close()


class Member:
    """One model of a fleet as a generator."""

    def __init__(self, fleet: Fleet, model: str) -> None:
        self.fleet, self.model = fleet, model

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Delta | Finished]:
        async with self.fleet.lease(self.model) as engine:
            events = engine.stream(prompt, sampling, terms)
            async with aclosing(events):  # type: ignore[type-var]
                async for event in events:
                    yield event

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        if engine := self.fleet.living(self.model):
            engine.warm(prompt, terms)

    async def count(self, texts: Sequence[str]) -> list[int]:
        async with self.fleet.lease(self.model) as engine:
            return await engine.count(texts)

    async def info(self) -> dict[str, Any]:
        async with self.fleet.lease(self.model) as engine:
            return await engine.info()

    async def close(self) -> None:
        """Nothing: the fleet ends its engines."""


def gb(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.2f} GB"
