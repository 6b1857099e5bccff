"""What there is at this moment: counted when somebody looks, and starting nothing for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from rag.assembly import System
from rag.engine.generator import Engine, Generator
from rag.errors import RagError
from rag.observability.metering import MeteredGenerator
from rag.store.database import Database
from rag.store.tables import jobs
from rag.types import DocumentState, JobState

DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Census:
    """Documents and runs by state, points of the index, requests at the engine. `up`: what answered."""

    documents: Mapping[DocumentState, int] = field(default_factory=dict)
    jobs: Mapping[JobState, int] = field(default_factory=dict)
    points: int = 0
    waiting: int = 0
    active: int = 0
    engine_pid: int | None = None
    up: Mapping[str, bool] = field(default_factory=dict)


async def census(system: System) -> Census:
    """Count what a system holds and does."""
    pid = engine_pid(system.generator)
    documents, runs, index, engine = await asyncio.gather(
        within(asyncio.to_thread(system.catalog.counts)),
        within(asyncio.to_thread(job_counts, system.catalog.database)),
        within(system.vectors.info()),
        # A model that nobody asked for is not started to be counted.
        within(system.generator.info()) if pid else nothing(),
    )
    return Census(
        documents=documents or {},
        jobs=runs or {},
        points=int((index or {}).get("points") or 0),
        waiting=int((engine or {}).get("waiting") or 0),
        active=int((engine or {}).get("active") or 0),
        engine_pid=pid,
        up={
            "database": documents is not None,
            "index": index is not None,
            **({"engine": engine is not None} if pid else {}),
        },
    )


async def within(work: Awaitable[Any]) -> Any:
    """The result, or None when it failed or took too long."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await work
    except (RagError, TimeoutError):
        return None


async def nothing() -> None:
    """Not asked."""


def job_counts(database: Database) -> dict[JobState, int]:
    """Runs of ingestion by state, of all tenants."""
    with database.reading() as connection:
        found = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
        return {JobState(state): count for state, count in found}


def engine_pid(generator: Generator) -> int | None:
    """The process of an engine on this machine, if it runs."""
    if isinstance(generator, MeteredGenerator):
        generator = generator.inner
    return generator.worker.pid if isinstance(generator, Engine) else None
