"""Goes on reading sources: folders when they change, others when their schedule says so."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from ingest.declaration import Declared
from ingest.run import Wanted
from ingest.schedule import Schedule
from ingest.sources.folder import FolderSource
from ingest.sources.source import Source
from rag.errors import RagError, SettingsError

RETRY_S = 60.0
Sync = Callable[[Source, Wanted], Awaitable[None]]
Tell = Callable[[str], None]
Due = tuple[str, Source, Wanted]


async def watch(sources: Sequence[Due], declared: Sequence[Declared], sync: Sync, *, tell: Tell) -> None:
    """Read each source now and whenever it is due, one at a time, until cancelled.

    Raises SettingsError for a source that is neither a folder nor has a schedule.
    """
    schedules = {each.name: each.cron() for each in declared}
    for name, source, _ in sources:
        if schedules.get(name) is None and not isinstance(source, FolderSource):
            raise SettingsError(f"source {name} cannot be watched: give it a schedule in ingest.toml")
    turn = asyncio.Lock()

    async def once(name: str, source: Source, wanted: Wanted) -> bool:
        async with turn:
            try:
                await sync(source, wanted)
            except RagError as error:  # the next time may go better; the others go on in any case
                tell(f"{name or 'paths'}: {error}")
                return False
        return True

    async def follow(name: str, source: Source, wanted: Wanted) -> None:
        if (schedule := schedules.get(name)) is not None:
            await once(name, source, wanted)
            await by_the_clock(schedule, lambda: once(name, source, wanted))
        elif isinstance(source, FolderSource):
            await by_changes(source, lambda: once(name, source, wanted))

    try:
        async with asyncio.TaskGroup() as group:
            for name, source, wanted in sources:
                group.create_task(follow(name, source, wanted))
    finally:
        for _, source, _ in sources:
            source.close()


async def by_the_clock(
    schedule: Schedule,
    act: Callable[[], Awaitable[object]],
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Act at every moment of a schedule; those that pass while it acts are skipped."""
    while True:
        due = schedule.next_after(now())
        # In short naps, since the clock may be set meanwhile.
        while (left := (due - now()).total_seconds()) > 0:
            await sleep(min(left, 60.0))
        await act()


async def by_changes(source: FolderSource, act: Callable[[], Awaitable[bool]]) -> None:
    """Act now and after each change in a folder; once more later when it did not go well."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    stop = threading.Event()

    def look() -> None:
        # The first look is before the first act, so that no change falls between the two.
        for _ in source.watch(stop=stop):
            if not stop.is_set():
                loop.call_soon_threadsafe(changed.set)

    # A thread of its own: it stays as long as we do, and the common ones are few.
    threading.Thread(target=look, name="watch", daemon=True).start()
    went_well = True
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if went_well else RETRY_S):
                    await changed.wait()
            changed.clear()
            went_well = await act()
    finally:
        stop.set()
