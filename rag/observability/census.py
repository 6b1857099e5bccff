"""What there is at this moment: counted when somebody looks, and starting nothing for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from rag.engine.generator import Engine, Generator
from rag.errors import RagError
from rag.observability.metering import MeteredGenerator
from rag.store.database import Database
from rag.store.tables import jobs
from rag.types import DocumentState, JobState

if TYPE_CHECKING:
    from rag.assembly import System

DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Busy:
    """An engine that runs on this machine: its process, requests that wait and that it works on."""

    pid: int
    waiting: int
    active: int


@dataclass(frozen=True, slots=True)
class Census:
    """Documents and runs by state, points of the index, engines by tier. `up`: what answered."""

    documents: Mapping[DocumentState, int] = field(default_factory=dict)
    jobs: Mapping[JobState, int] = field(default_factory=dict)
    points: int = 0
    engines: Mapping[str, Busy] = field(default_factory=dict)
    up: Mapping[str, bool] = field(default_factory=dict)


async def census(system: System) -> Census:
    """Count what a system holds and does."""
    # A model that nobody asked for is not started to be counted.
    running = {tier: pid for tier, voice in system.voices.of.items() if (pid := engine_pid(voice.generator))}
    documents, runs, index, *told = await asyncio.gather(
        within(asyncio.to_thread(system.catalog.counts)),
        within(asyncio.to_thread(job_counts, system.catalog.database)),
        within(system.vectors.info()),
        *(within(asked.info()) for tier in running if (asked := system.voices.of[tier].generator)),
    )
    engines = dict(zip(running, told, strict=True))
    return Census(
        documents=documents or {},
        jobs=runs or {},
        points=int((index or {}).get("points") or 0),
        engines={
            tier: Busy(running[tier], int(info.get("waiting") or 0), int(info.get("active") or 0))
            for tier, info in engines.items()
            if info
        },
        up={
            "database": documents is not None,
            "index": index is not None,
            **{f"engine {tier}": info is not None for tier, info in engines.items()},
        },
    )


async def within(work: Awaitable[Any]) -> Any:
    """The result, or None when it failed or took too long."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await work
    except (RagError, TimeoutError):
        return None


def job_counts(database: Database) -> dict[JobState, int]:
    """Runs of ingestion by state, of all tenants."""
    with database.reading() as connection:
        found = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
        return {JobState(state): count for state, count in found}


def engine_pid(generator: Generator | None) -> int | None:
    """The process of an engine on this machine, if it runs."""
    if isinstance(generator, MeteredGenerator):
        generator = generator.inner
    return generator.worker.pid if isinstance(generator, Engine) else None
