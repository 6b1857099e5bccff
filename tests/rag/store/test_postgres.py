"""Postgres as the catalog: what SQLite gives by being one file must hold between machines."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import rag.accounts.tables
import rag.conversations.tables
import rag.cost.tables  # noqa: F401
from rag.errors import IndexUnavailable, SettingsError
from rag.store import tables
from rag.store.catalog import Catalog
from rag.store.database import REVISION, Database, revision_of
from rag.store.queue import Listed, Queue, Shelf
from rag.types import DocumentState, Principal

SHELF = Shelf.of(Principal(), "default", ("everyone",), "1")


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


def side_by_side(work: Callable[[int], Any], count: int) -> list[Any]:
    """What each of several threads, started together, returned or raised."""
    found: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            found[number] = work(number)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_the_migrations_make_the_same_tables_here(catalog: Catalog) -> None:
    with catalog.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_machines_that_open_a_new_database_at_once_migrate_it_once(postgres: Any, tmp_path: Path) -> None:
    postgres.execute("DROP DATABASE IF EXISTS fresh WITH (FORCE)", "CREATE DATABASE fresh")
    made = side_by_side(lambda _: Database(tmp_path, postgres.url("fresh")), 4)
    assert [revision_of(each.engine, "fresh") for each in made] == [REVISION] * 4
    for each in made:
        each.close()


def test_a_writer_waits_for_the_one_before_and_sees_what_it_wrote(catalog: Catalog) -> None:
    database = catalog.database
    with database.writing() as connection:
        connection.execute(tables.meta.insert().values(key="count", value=0))

    def add_one(_: int) -> None:
        for _ in range(10):
            with database.writing() as connection:
                value = connection.execute(text("SELECT value::text FROM meta")).scalar_one()
                connection.execute(tables.meta.update().values(value=int(value) + 1))

    assert side_by_side(add_one, 4) == [None] * 4
    with database.reading() as connection:
        assert connection.execute(text("SELECT value::text FROM meta")).scalar_one() == "40"


def test_a_reader_keeps_the_state_it_began_with_and_cannot_write(catalog: Catalog, queue: Queue) -> None:
    with catalog.database.reading() as connection:
        count = text("SELECT count(*) FROM documents")
        assert connection.execute(count).scalar_one() == 0
        queue.enqueue([Listed("/a", "a", 1)], SHELF)
        assert connection.execute(count).scalar_one() == 0
    with pytest.raises(Exception, match="read-only"), catalog.database.reading() as connection:
        connection.execute(text("DELETE FROM documents"))


def test_every_document_is_claimed_by_one_of_many_machines(catalog: Catalog) -> None:
    Queue(catalog.database).enqueue([Listed(f"/{number}", "a", 1) for number in range(30)], SHELF)

    def take_all(number: int) -> list[str]:
        queue, taken = Queue(catalog.database, worker=f"machine-{number}:1:1"), []
        while claim := queue.claim(lease_s=60):
            taken.append(claim.uri)
        return taken

    taken = [uri for each in side_by_side(take_all, 5) for uri in each]
    assert sorted(taken) == sorted(f"/{number}" for number in range(30))


def test_a_killed_writer_leaves_nothing_and_no_lock(catalog: Catalog, url: str, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from rag.store.database import Database\n"
        "from rag.store import tables\n"
        "with Database(Path(sys.argv[1]), sys.argv[2]).writing() as connection:\n"
        "    connection.execute(tables.meta.insert().values(key='half', value=1))\n"
        "    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path), url]).returncode == -9
    started = time.monotonic()
    with catalog.database.writing() as connection:
        assert connection.execute(tables.meta.select()).all() == []
    assert time.monotonic() - started < 10


def test_a_number_is_not_given_again_after_it_was_taken_back(catalog: Catalog, publish: Any) -> None:
    first = publish("/a")
    made = tables.versions.insert().values(
        document_id="x", status="filling", sha256="", groups=[], title="", media_type="", pages=0, chunks=0
    )
    with pytest.raises(ZeroDivisionError), catalog.database.writing() as connection:
        connection.execute(made)
        1 / 0  # noqa: B018
    assert publish("/b") == first + 2


def test_numbers_larger_than_32_bits_fit(catalog: Catalog, queue: Queue, publish: Any) -> None:
    with catalog.database.writing() as connection:
        connection.execute(text("SELECT setval('versions_version_seq', 5000000000)"))
    assert publish("/a") == 5_000_000_001
    queue.enqueue([Listed("/b", "a", size_bytes=6_000_000_000)], SHELF)
    assert queue.waiting() == (1, 6_000_000_000)
    assert catalog.live_versions() == {5_000_000_001: 1}


def test_wiping_leaves_no_dead_rows(catalog: Catalog, publish: Any) -> None:
    publish("/a")
    catalog.remove(SHELF.document_id("/a"))
    assert catalog.database.wipe() == {}
    with catalog.database.reading() as connection:
        found = connection.execute(text("SELECT pg_relation_size('chunks')")).scalar_one()
    assert found == 0


def test_a_server_that_was_away_is_missed_only_meanwhile(
    catalog: Catalog, queue: Queue, postgres: Any
) -> None:
    queue.enqueue([Listed("/a", "a", 1)], SHELF)
    postgres.stop()
    try:
        with pytest.raises(IndexUnavailable, match="cannot be reached.*server runs"):
            catalog.counts()
    finally:
        postgres.start()
    claim = queue.claim(lease_s=60)
    assert claim
    assert claim.uri == "/a"
    postgres.stop()
    postgres.start()
    assert catalog.counts()[DocumentState.PARSING] == 1, (
        "nobody asked while it was away, so nobody has to know"
    )


def test_what_cannot_be_reached_is_named_without_the_password(postgres: Any, tmp_path: Path) -> None:
    cases = {
        postgres.url("nowhere"): r'database "nowhere" does not exist.*createdb',
        postgres.url("catalog", password="hunter2"): "authentication failed.*check user and password",
        postgres.url("catalog", user="nobody", password="hunter2"): "check user and password",
        "postgresql://me:hunter2@127.0.0.1:1/catalog": "127.0.0.1:1/catalog cannot be.*check host and port",
        f"postgresql://me:hunter2@/catalog?host={tmp_path}": "cannot be reached.*server runs",
    }
    for url, message in cases.items():
        with pytest.raises(IndexUnavailable, match=message) as raised:
            Database(tmp_path, url)
        assert "hunter2" not in str(raised.value)


def test_a_user_without_rights_is_told_what_is_missing(postgres: Any, tmp_path: Path) -> None:
    postgres.execute("DROP DATABASE IF EXISTS narrow WITH (FORCE)", "DROP USER IF EXISTS guest")
    postgres.execute("CREATE DATABASE narrow", "CREATE USER guest PASSWORD 'guest'")
    with pytest.raises(IndexUnavailable, match="permission denied.*owner of the database"):
        Database(tmp_path, postgres.url("narrow", user="guest", password="guest"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://a:hunter2@host/name", "names 'mysql'; have postgresql"),
        ("localhost", "is no URL; write postgresql://"),
        ("postgresql://a:hunter2@host:port/name", "is no URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        Database(tmp_path, url)
    assert "hunter2" not in str(raised.value)


def test_a_claim_waits_for_no_writer_and_passes_over_what_one_holds(catalog: Catalog, queue: Queue) -> None:
    queue.enqueue([Listed("/held", "a"), Listed("/free", "a")], SHELF)
    held = tables.documents.c.uri == "/held"
    with catalog.database.writing() as connection:
        connection.execute(tables.documents.update().where(held).values(priority=9))
        claim = queue.claim(lease_s=60)
        assert claim and claim.uri == "/free"
        assert queue.claim(lease_s=60) is None
    last = queue.claim(lease_s=60)
    assert last and last.uri == "/held"


def test_an_orphan_is_taken_by_one_of_many(catalog: Catalog) -> None:
    now = [1000.0]
    dead = Queue(catalog.database, worker="elsewhere/boot:1:1", clock=lambda: now[0])
    dead.enqueue([Listed("/a", "a")], SHELF)
    assert dead.claim(lease_s=10)
    now[0] += 60
    others = [Queue(catalog.database, worker=f"far/boot:{n}:1", clock=lambda: now[0]) for n in range(6)]
    claims = side_by_side(lambda number: others[number].claim(lease_s=60), 6)
    (taken,) = [claim for claim in claims if claim]
    assert (taken.uri, taken.attempts) == ("/a", 1)
