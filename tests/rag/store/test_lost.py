"""What is lost or full on disk is said so, and not taken for an answer; what is kept there is the owner's."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rag.errors import DiskFull, IndexUnavailable
from rag.store.catalog import Catalog
from rag.store.database import FILE, Database
from rag.store.generations import Generations
from rag.store.indexes import LiveCaller
from rag.store.stamp import open_folder


class Index:
    """An index process that holds so many points."""

    def __init__(self) -> None:
        self.points = 0

    async def call(self, method: str, **_: Any) -> Any:
        return {"points": self.points} if method == "info" else [method]


def test_an_index_that_lost_its_points_refuses_to_search(
    catalog: Catalog, publish: Callable[..., int]
) -> None:
    index: Any = Index()
    caller = LiveCaller(lambda _: index, Generations(catalog.database), {})
    assert asyncio.run(caller.call("search")) == ["search"], "nothing was ever there"
    publish("/a")
    with pytest.raises(IndexUnavailable, match="has lost live chunks: `rag ingest`"):
        asyncio.run(caller.call("search"))
    index.points = 1
    assert asyncio.run(caller.call("search")) == ["search"]


def test_an_index_that_is_being_filled_again_refuses_until_hardly_anything_is_missing(
    catalog: Catalog, publish: Callable[..., int]
) -> None:
    index: Any = Index()
    caller = LiveCaller(lambda _: index, Generations(catalog.database), {})
    for number in range(10):
        publish(f"/{number}")
    index.points = 8
    with pytest.raises(IndexUnavailable, match="has lost live chunks.+wait for it"):
        asyncio.run(caller.call("search"))
    index.points = 9
    assert asyncio.run(caller.call("search")) == ["search"]


def test_the_database_and_the_index_are_for_their_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "made by another program"
    home.mkdir(mode=0o755)
    database = Database(home)
    with database.writing() as connection:
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('a', '1')"))
    open_folder(home, "1")
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", "index", "index/1"):
        assert not stat.S_IMODE(os.stat(home / name).st_mode) & 0o077, name
    database.close()


def test_a_full_disk_is_named_when_a_transaction_ends(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.reading() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    with pytest.raises(DiskFull, match="no space is left"), database.writing() as connection:
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        connection.execute(
            text("INSERT INTO meta (key, value) VALUES ('big', :value)"), {"value": '"' + "x" * 10**6 + '"'}
        )
    database.close()
