"""The role of a runner: it has readers, here or on other machines, and works through the queue with them."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from functools import partial

from ingest.indexing import Read
from rag.store.queue import Claim, Queue

LEASE_S = 60.0
IDLE_S = 0.1

Process = Callable[[Claim, Read], Awaitable[None]]


class Runner(ABC):
    """Pulls documents from the queue until nothing is left that this run may do.

    `workers`: how many documents are in flight at once, which bounds memory here and on the way.
    """

    workers: int

    @abstractmethod
    def reader(self, number: int) -> AbstractAsyncContextManager[Read]:
        """Something that reads files, as a function; the number tells it from others in what is shown."""

    async def work(
        self,
        queue: Queue,
        process: Process,
        sources: Collection[str],
        *,
        job: str | None = None,
        paused: Callable[[], bool],
    ) -> None:
        """Process every document of these sources, or of one job. In the end no claim is ours any more.

        A document may bring others with it, so nobody leaves while one is in work, or while `paused` says so.
        """
        busy = Busy()
        heartbeat = asyncio.create_task(beat(queue))

        async def pull(number: int) -> None:
            async with self.reader(number) as read:
                take = partial(queue.claim, lease_s=LEASE_S, sources=sources, job=job)
                looks = 0
                # Twice: a run may be resumed between looking for work and asking whether it is paused.
                while looks < 2:
                    if claim := await asyncio.to_thread(take):
                        with busy:
                            await process(claim, read)
                        looks = 0
                    elif busy.now or await asyncio.to_thread(paused):
                        await asyncio.sleep(IDLE_S)
                        looks = 0
                    else:
                        looks += 1

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self.workers):
                    group.create_task(pull(number))
        except* Exception as problems:
            raise first(problems) from None
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat
            queue.release()


class Busy:
    """Counts the documents in work."""

    def __init__(self) -> None:
        self.now = 0

    def __enter__(self) -> None:
        self.now += 1

    def __exit__(self, *_: object) -> None:
        self.now -= 1


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
