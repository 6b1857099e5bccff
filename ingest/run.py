"""One run of ingestion while it goes on: what it is asked for, what it tells, what others decide of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace

from ingest.jobs import Listener, Summary, Tally
from ingest.runners.runner import Runner
from rag.store.jobs import Jobs
from rag.store.queue import Queue, Shelf
from rag.types import JobState, Principal

REPORT_S = 1.0
INTERRUPTED = "it was interrupted; the next run goes on"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for: for whom, where the documents belong, and who may read them.

    `allow_empty`: believe a source that suddenly has nothing any more.
    """

    principal: Principal = Principal()
    collection: str = "default"
    groups: tuple[str, ...] = ("everyone",)
    labels: tuple[str, ...] = ()
    retry: bool = False
    priority: int = 0
    allow_empty: bool = False


class Run:
    """A run that others can see, pause and cancel while it goes on."""

    def __init__(
        self,
        job: str,
        jobs: Jobs,
        queue: Queue,
        runner: Runner,
        tally: Tally,
        source: str,
        *,
        only: str | None = None,
    ) -> None:
        """`only`: the job whose documents alone are done here; None: whatever waits of the source."""
        self.job, self.runner, self.tally, self.only = job, runner, tally, only
        self._jobs, self._queue, self._source = jobs, queue, source
        self._state = JobState.RUNNING

    def paused(self) -> bool:
        """Whether the run must wait; asked when there seems to be nothing to do.

        One that does a single job leaves when that is paused, since other jobs wait behind it, and waits
        while another process has some of its documents.
        """
        self._state = self._jobs.state(self.job)
        if self.only is None:
            return self._state is JobState.PAUSED
        return self._state is JobState.RUNNING and self._queue.waiting({self._source}, self.only)[0] > 0

    async def keep_reporting(self) -> None:
        """Write down how far the run is, once a second, and hear whether it was cancelled."""
        while True:
            await asyncio.sleep(REPORT_S)
            await asyncio.to_thread(self.report)

    def report(self) -> None:
        """Write down how far the run is; take back what a cancelled one has still to do."""
        waiting, size = self._queue.waiting({self._source}, self.only)
        plan, progress = asdict(self.tally.planned), self.tally.progress(waiting, size)
        self._state = self._jobs.report(self.job, plan=plan, progress=progress)
        if self._state is JobState.CANCELLED:
            # Each time: a long listing may still be entered.
            self._queue.withdraw(self.job)

    def summary(self) -> Summary:
        """The run as it ended."""
        stopped = "cancelled" if self._state is JobState.CANCELLED else ""
        summary = self.tally.summary(time.monotonic() - self.tally.started, job=self.job, stopped=stopped)
        return replace(summary, waiting=tuple(self._queue.held_back(self._source).items()))


@asynccontextmanager
async def opened(
    jobs: Jobs,
    queue: Queue,
    runner: Runner,
    shelf: Shelf,
    wanted: Wanted,
    listener: Listener | None,
    *,
    only: str | None = None,
) -> AsyncIterator[Run]:
    """A run, entered among the jobs and closed there however it ends; `only`: it goes on with that job."""
    await asyncio.to_thread(jobs.bury)
    await asyncio.to_thread(queue.withdraw_cancelled)
    tally = Tally(listener, runner.workers)
    if only:
        tally.go_on(await asyncio.to_thread(jobs.reopen, only))
    job = await asyncio.to_thread(begin, jobs, shelf, wanted) if only is None else only
    run = Run(job, jobs, queue, runner, tally, shelf.source, only=only)
    reporting = asyncio.create_task(run.keep_reporting())
    error = INTERRUPTED
    try:
        yield run
        error = ""
    except Exception as problem:
        error = str(problem)
        raise
    finally:
        reporting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporting
        run.report()
        jobs.finish(job, error)


def begin(jobs: Jobs, shelf: Shelf, wanted: Wanted) -> str:
    """Enter a run among the jobs; its id."""
    fields = asdict(wanted) | {"principal": wanted.principal.tenant}
    return jobs.start(wanted.principal, shelf.collection, shelf.source, fields, priority=wanted.priority)
