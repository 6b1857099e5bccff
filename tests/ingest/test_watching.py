"""Sources are read when their time has come, or when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.run import Wanted
from ingest.schedule import Schedule
from ingest.sources.folder import FolderSource
from ingest.watching import by_the_clock, watch
from rag.errors import IndexUnavailable, SettingsError, SourceError


def folder(path: Path) -> FolderSource:
    return FolderSource([path], home=path / "home", max_file_bytes=1000)


def test_a_schedule_is_kept_to_the_minute_and_skips_what_it_missed() -> None:
    moment = datetime(2026, 1, 1, 12, 7, tzinfo=UTC)
    acted: list[datetime] = []

    async def sleep(seconds: float) -> None:
        nonlocal moment
        assert seconds <= 60
        moment += timedelta(seconds=seconds)

    async def act() -> None:
        nonlocal moment
        acted.append(moment)
        moment += timedelta(minutes=20)  # the reading takes longer than the interval
        if len(acted) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(by_the_clock(Schedule.parse("*/15 * * * *"), act, now=lambda: moment, sleep=sleep))
    assert [(each.hour, each.minute) for each in acted] == [(12, 15), (12, 45), (13, 15)]


def test_a_folder_is_read_at_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderSource.watch, "__kwdefaults__", {"interval_s": 0.05, "settle_s": 0.05})
    (tmp_path / "a.txt").write_text("one")
    runs: list[Wanted] = []

    async def sync(_source: Any, wanted: Wanted) -> None:
        runs.append(wanted)

    async def story() -> None:
        sources = [("", folder(tmp_path), Wanted())]
        watching = asyncio.create_task(watch(sources, [], sync, tell=print))
        while not runs:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        (tmp_path / "b.txt").write_text("two")
        async with asyncio.timeout(60):
            while len(runs) < 2:
                await asyncio.sleep(0.05)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(story())


def test_a_source_that_fails_does_not_end_the_watch(tmp_path: Path) -> None:
    told: list[str] = []

    async def sync(_source: Any, _wanted: Wanted) -> None:
        raise SourceError("the server is away")

    async def story() -> None:
        watching = asyncio.create_task(watch([("", folder(tmp_path), Wanted())], [], sync, tell=told.append))
        while not told:
            await asyncio.sleep(0.02)
        assert not watching.done()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(story())
    assert told == ["paths: the server is away"]


def test_a_change_while_the_first_reading_goes_on_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderSource.watch, "__kwdefaults__", {"interval_s": 0.05, "settle_s": 0.05})
    (tmp_path / "a.txt").write_text("one")
    seen: list[int] = []

    async def sync(source: Any, _wanted: Wanted) -> None:
        seen.append(len(source.changes().items))
        if len(seen) == 1:
            (tmp_path / "b.txt").write_text("two")
            await asyncio.sleep(0.5)

    asyncio.run(
        until(lambda: seen[-1:] == [2], watch([("", folder(tmp_path), Wanted())], [], sync, tell=print))
    )


def test_a_folder_whose_reading_failed_is_read_again_without_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.watching.RETRY_S", 0.1)
    runs: list[Wanted] = []

    async def sync(_source: Any, wanted: Wanted) -> None:
        runs.append(wanted)
        if len(runs) < 3:
            raise IndexUnavailable("the index is away")

    async def story() -> None:
        await until(
            lambda: len(runs) == 3, watch([("", folder(tmp_path), Wanted())], [], sync, tell=told.append)
        )

    told: list[str] = []
    asyncio.run(story())
    assert told == ["paths: the index is away"] * 2


def test_many_watched_folders_leave_threads_for_the_work(tmp_path: Path) -> None:
    """The common threads of a process are few, and a watched folder keeps one for ever."""
    names = [f"folder-{number}" for number in range(40)]
    read: set[str] = set()

    async def sync(source: Any, _wanted: Wanted) -> None:
        await asyncio.sleep(0.01)
        await asyncio.to_thread(source.changes)
        read.add(source.name)

    sources = []
    for name in names:
        (tmp_path / name).mkdir()
        source = FolderSource([tmp_path / name], home=tmp_path / "home", max_file_bytes=1000, name=name)
        sources.append((name, source, Wanted()))
    asyncio.run(until(lambda: read == set(names), watch(sources, [], sync, tell=print)))


async def until(condition: Callable[[], bool], watching: Coroutine[Any, Any, None]) -> None:
    """Watch until it is so, at most a minute."""
    task = asyncio.create_task(watching)
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_what_can_neither_be_watched_nor_is_scheduled_is_refused() -> None:
    class Mailbox:
        name = "mail"

        def close(self) -> None: ...

    with pytest.raises(SettingsError, match="source mail cannot be watched: give it a schedule"):
        asyncio.run(watch([("mail", Mailbox(), Wanted())], [], lambda *_: None, tell=print))  # type: ignore[list-item,arg-type,return-value]
