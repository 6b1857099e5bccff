"""A generator in one task of its own, so that what it sets in its context lasts to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")
AHEAD = 16  # events that may wait for a slow reader


async def flowing(events: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same events. Leaving early, or a failure of the reader, cancels what makes them."""
    queue: asyncio.Queue[T | BaseException | None] = asyncio.Queue(AHEAD)

    async def pump() -> None:
        try:
            async with aclosing(events) as open_events:  # type: ignore[type-var]
                async for event in open_events:
                    await queue.put(event)
        except Exception as error:  # raised again by whoever reads
            await queue.put(error)
        else:
            await queue.put(None)

    task = asyncio.create_task(pump())
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
