"""One event loop on one thread, so that code without `async` can use the system."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Loop:
    """Runs coroutines for callers on other threads until closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="permafrost-sdk", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine; an interrupted caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a coroutine and do not wait; closing cancels it."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def iterate(self, events: AsyncIterator[T]) -> Iterator[T]:
        """The events as they come; leaving the iteration early cancels what produces them."""
        arrived: queue.SimpleQueue[tuple[T | None, BaseException | None, bool]] = queue.SimpleQueue()

        # One task from first to last event: a generator may hold a deadline, which belongs to a task.
        async def pump() -> None:
            try:
                async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
                    async for event in open_events:
                        arrived.put((event, None, False))
            except BaseException as error:
                arrived.put((None, error, True))
                raise
            arrived.put((None, None, True))

        future = asyncio.run_coroutine_threadsafe(pump(), self._loop)
        try:
            while True:
                event, error, last = arrived.get()
                if error:
                    raise error
                if last:
                    return
                yield event  # type: ignore[misc]
        finally:
            future.cancel()

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def close(self) -> None:
        """Stop the loop and wait for its thread."""
        if self.closed:
            return
        self.run(finish_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def finish_tasks() -> None:
    """Cancel what still runs on this loop, then wait until it has ended."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
