"""From a request to the events of its answers, for every endpoint that answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request

from rag.accounts.limits import Allowance
from rag.api.conversation import Conversation
from rag.assembly import System
from rag.assistant import Event, Final
from rag.errors import Cancelled, WorkerError
from rag.types import Answer, Principal
from rag.wire import RagOptions

Numbered = tuple[int, Event]


@dataclass(frozen=True, slots=True)
class Errand:
    """On whose behalf questions are asked, and what holds for all of them."""

    system: System
    caller: Principal
    options: RagOptions
    limits: Allowance
    request_id: str = ""

    @classmethod
    def of(cls, request: Request, system: System, caller: Principal, options: RagOptions) -> Errand:
        """What a request says of it."""
        return cls(system, caller, options, request.state.limits, request.state.request_id)

    async def ask(self, asked: Conversation) -> AsyncIterator[Event]:
        """The events of one answer, whose prompt is charged to the caller's limits."""
        events = self.system.assistant.ask(
            asked.question,
            self.caller,
            history=asked.history,
            collection=asked.collection,
            tier=asked.tier,
            limit=self.options.limit,
            only=asked.only,
            manner=asked.manner,
            request_id=self.request_id,
            before=asked.before,
            most=self.options.max_cost or 0.0,
        )
        if self.system.metrics:
            events = self.system.metrics.watched(events)
        async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
            async for event in open_events:
                if isinstance(event, Final):
                    self.limits.charge(event.answer.usage.prompt_tokens)
                yield event


async def several(errand: Errand, asked: Sequence[Conversation]) -> AsyncIterator[Numbered]:
    """The events of several answers as they come, each with the number of its question.

    The first failure ends all of them and is raised.
    """
    if len(asked) == 1:
        events = errand.ask(asked[0])
        async with contextlib.aclosing(events) as one:  # type: ignore[type-var]
            async for event in one:
                yield 0, event
        return
    queue: asyncio.Queue[Numbered | Exception | None] = asyncio.Queue(maxsize=64)
    tasks = [asyncio.create_task(pump(number, errand.ask(each), queue)) for number, each in enumerate(asked)]
    try:
        running = len(tasks)
        while running:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pump(
    number: int, events: AsyncIterator[Event], queue: asyncio.Queue[Numbered | Exception | None]
) -> None:
    """Hand the events of one answer on, then None, or what it failed with."""
    try:
        async with contextlib.aclosing(events) as one:  # type: ignore[type-var]
            async for event in one:
                await queue.put((number, event))
        await queue.put(None)
    except Exception as error:  # raised again by whoever reads the queue
        await queue.put(error)


def seeded(asked: Conversation, count: int) -> list[Conversation]:
    """The same question so many times, each drawn with a seed of its own."""
    manner = asked.manner
    return [replace(asked, manner=replace(manner, seed=manner.seed + number)) for number in range(count)]


async def answers(events: AsyncIterator[Numbered]) -> list[Answer]:
    """All answers, whole, in the order of their questions."""
    found: dict[int, Answer] = {}
    async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
        async for number, event in open_events:
            if isinstance(event, Final):
                found[number] = event.answer
    if not found:
        raise WorkerError("the answer ended before it was whole; ask again")
    return [found[number] for number in sorted(found)]


async def until_gone(request: Request, work: Any) -> Any:
    """The result of `work`, which is cancelled when the caller goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled("the caller went away before the answer was whole")
        return task.result()
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def disconnected(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def lookup(system: System, caller: Principal, *, named: bool) -> list[str]:
    """The collections a model name may hold. Listing them costs a read: only for who names one."""
    return await system.collections(caller) if named else []
