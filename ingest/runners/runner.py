"""The role of a runner: it has readers, here or on other machines, and works through the queue with them."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from ingest.indexing import Read
from rag.store.queue import Claim, Queue

LEASE_S = 60.0
IDLE_S = 0.1

# Reads a document. What is left to do of it then, if anything, is done while its reader goes on.
Rest = Coroutine[Any, Any, None]
Process = Callable[[Claim, Read], Awaitable[Rest | None]]


class Runner(ABC):
    """Pulls documents from the queue until nothing is left that this run may do.

    `workers`: how many documents are read at once. How many are read and not stored yet is bounded by the
    one who processes them.
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
        take = partial(queue.claim, lease_s=LEASE_S, sources=sources, job=job)
        heartbeat = asyncio.create_task(beat(queue))
        try:
            await self.drain(take, process, paused)
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat
            queue.release()

    async def drain(
        self, take: Callable[[], Claim | None], process: Process, paused: Callable[[], bool] = lambda: False
    ) -> None:
        """Process what `take` gives until it gives nothing more. Raises the first error of any document."""
        in_work = 0

        def done(_: object) -> None:
            nonlocal in_work
            in_work -= 1

        async def pull(number: int) -> None:
            nonlocal in_work
            async with self.reader(number) as read:
                looks = 0
                # Twice: a run may be resumed between looking for work and asking whether it is paused.
                while looks < 2:
                    if claim := await to_the_end(take):
                        in_work += 1
                        rest = await process(claim, read)
                        if rest:
                            group.create_task(rest).add_done_callback(done)
                        else:
                            done(claim)
                        looks = 0
                    elif in_work or await asyncio.to_thread(paused):
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


async def to_the_end(take: Callable[[], Claim | None]) -> Claim | None:
    """What a thread takes. Who is cancelled waits for it too: claimed after the release it would be stuck."""
    taking = asyncio.create_task(asyncio.to_thread(take))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        await asyncio.wait([taking])
        raise


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
