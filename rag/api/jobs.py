"""Runs of ingestion over HTTP: see them, follow one as it goes on, pause, resume, cancel, retry."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from rag.api.reply import named
from rag.api.state import Operator, Running, Writer, closing_of
from rag.assembly import System
from rag.errors import NotFound
from rag.store.jobs import OPEN, Job
from rag.store.queue import UPLOADS
from rag.types import Principal
from rag.wire import JobsReply

router = APIRouter(prefix="/v1/jobs")
EVERY_S = 1.0
HEARTBEAT_S = 10.0


class Priority(BaseModel):
    """What a run is to have: a higher one goes first, 0 is usual."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[int, Field(ge=-1000, le=1000, strict=True)]


@router.get("")
async def jobs(
    system: Running, caller: Writer, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JobsReply:
    """The caller's own runs, newest first; for an operator those of the whole tenant."""
    found = await asyncio.to_thread(system.jobs.all, caller, limit=limit)
    return JobsReply(jobs=found)


@router.get("/{job_id}")
async def job(job_id: str, system: Running, caller: Writer) -> Job:
    """How far one run is, its stages, and which of them the others wait for."""
    return await asyncio.to_thread(system.jobs.get, job_id, caller)


@router.get("/{job_id}/events")
async def events(job_id: str, request: Request, system: Running, caller: Writer) -> StreamingResponse:
    """Server-sent events: `progress` with the job each second that it moves, then `done`."""
    first = await job(job_id, system, caller)
    headers = {"X-Accel-Buffering": "no"}
    stream = followed(first, system, caller, closing_of(request))
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@router.post("/{job_id}/priority")
async def prioritise(job_id: str, wanted: Priority, system: Running, caller: Operator) -> Job:
    """Let what a run has still to do go before, or behind, that of others; the run as it is then."""
    await job(job_id, system, caller)
    await asyncio.to_thread(system.jobs.prioritise, job_id, wanted.priority)
    return await job(job_id, system, caller)


@router.post("/{job_id}/{verb}")
async def turn(
    job_id: str, verb: Literal["pause", "resume", "cancel", "retry"], system: Running, caller: Operator
) -> Job:
    """Let a run wait or go on, end it, or try again what it set aside; the run as it is then.

    What a cancelled run has published stays. A run of a declared source goes on when that is next read.
    """
    found = await job(job_id, system, caller)
    await asyncio.to_thread(VERBS[verb], system, job_id)
    if verb in ("resume", "retry") and found.source in ("", UPLOADS):
        system.feeder.wake(job_id)
    return await job(job_id, system, caller)


def cancel(system: System, job_id: str) -> None:
    system.jobs.cancel(job_id)
    # The run does this too when it hears of it, if there is one that works on the job now.
    system.queue.withdraw(job_id)


VERBS: dict[str, Callable[[System, str], object]] = {
    "pause": lambda system, job_id: system.jobs.pause(job_id),
    "resume": lambda system, job_id: system.jobs.resume(job_id),
    "cancel": cancel,
    "retry": lambda system, job_id: system.queue.retry(job_id),
}


async def followed(
    found: Job, system: System, caller: Principal, closing: asyncio.Event
) -> AsyncIterator[str]:
    """A job as events, until it is over, forgotten, or the server ends."""
    told: dict[str, Any] = {}
    told_at = time.monotonic()
    while not closing.is_set():
        now = asdict(found)
        if found.state not in OPEN:
            yield named("done", now)
            return
        if now != told:
            yield named("progress", now)
            told, told_at = now, time.monotonic()
        elif time.monotonic() - told_at > HEARTBEAT_S:
            yield ": still there\n\n"
            told_at = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY_S):
                await closing.wait()
        try:
            found = await asyncio.to_thread(system.jobs.get, found.id, caller)
        except NotFound:
            return
