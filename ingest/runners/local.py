"""Does the work of a run on this machine: parse workers side by side, each document then stored."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from rag.settings import IngestSettings
from rag.store.queue import Claim, Queue
from rag.workers import Worker

LEASE_S = 60.0
# How much longer than the limit of a document we wait for the worker that enforces it.
GRACE_S = 30.0

Read = Callable[[str], Awaitable[dict[str, Any]]]
Process = Callable[[Claim, Read], Awaitable[None]]


async def work(queue: Queue, process: Process, settings: IngestSettings, model: Path) -> None:
    """Process documents until nothing is left to claim. At the end every claim of ours is given back."""
    count = settings.parse_workers or min(4, len(os.sched_getaffinity(0)))
    heartbeat = asyncio.create_task(beat(queue))
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(pull(queue, process, settings, model, number))
    except* Exception as problems:
        raise first(problems) from None
    finally:
        heartbeat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await heartbeat
        queue.release()


async def pull(queue: Queue, process: Process, settings: IngestSettings, model: Path, number: int) -> None:
    """One worker and the documents it gets: while one of them is embedded, it parses the next."""
    async with parse_worker(settings, model, number) as worker:

        async def read(path: str) -> dict[str, Any]:
            reply: dict[str, Any] = await worker.call(
                "read", timeout_s=2 * settings.timeout_s + GRACE_S, path=path
            )
            return reply

        while claim := await asyncio.to_thread(queue.claim, lease_s=LEASE_S):
            await process(claim, read)


@contextlib.asynccontextmanager
async def parse_worker(settings: IngestSettings, model: Path, number: int) -> AsyncIterator[Worker]:
    """A parse worker, gone at the end whatever it does then."""
    config = {
        "model": str(model),
        "chunk_tokens": settings.chunk_tokens,
        "timeout_s": settings.timeout_s,
        "memory_bytes": settings.memory_bytes,
        "max_file_bytes": settings.max_file_bytes,
        "ocr_languages": settings.ocr_languages if settings.ocr != "off" else None,
    }
    worker = Worker("ingest.parsing.isolation:ParseService", config, name=f"parse-{number}")
    try:
        yield worker
    finally:
        await worker.kill()


async def beat(queue: Queue) -> None:
    """Keep our leases while we live."""
    while True:
        await asyncio.sleep(LEASE_S / 3)
        await asyncio.to_thread(queue.heartbeat, lease_s=LEASE_S)


def first(problems: BaseExceptionGroup[Exception]) -> BaseException:
    """The first error in a group, however deep."""
    problem: BaseException = problems
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem
