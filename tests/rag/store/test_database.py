"""The database of a home: made once, migrated once, refused when it is from the future."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import rag.accounts.tables
import rag.conversations.tables
import rag.cost.tables  # noqa: F401
from rag.errors import IndexUnavailable
from rag.store import database, tables
from rag.store.catalog import Catalog
from rag.store.database import Database
from rag.store.generations import Generations
from rag.store.migrations.upgrade import upgrade
from rag.types import Principal


def test_a_new_home_gets_the_newest_schema(tmp_path: Path) -> None:
    made = Database(tmp_path / "home")
    assert database.revision_of(made.engine, made.path) == database.REVISION
    made.close()


def test_the_migrations_make_the_tables_that_the_code_describes(tmp_path: Path) -> None:
    made = Database(tmp_path)
    with made.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    made.close()


def test_the_revision_in_the_code_is_the_last_migration() -> None:
    scripts = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert scripts.get_current_head() == database.REVISION


def test_connections_are_durable_and_check_foreign_keys(tmp_path: Path) -> None:
    made = Database(tmp_path)
    with made.reading() as connection:
        values = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert values == ["wal", 2, 1, 30_000]
    made.close()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    made = Database(tmp_path)
    with made.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    made.close()
    with pytest.raises(IndexUnavailable, match="9999.*upgrade Permafrost"):
        Database(tmp_path)


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / database.FILE).write_bytes(b"this is no database at all, " * 400)
    with pytest.raises(IndexUnavailable, match="damaged.*ingest again"):
        Database(tmp_path)


def test_a_home_of_the_first_release_keeps_its_documents(tmp_path: Path) -> None:
    old = database.connect(tmp_path / database.FILE)
    upgrade(old, "0001")
    with old.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO documents (id, tenant, collection, uri, sha256, recipe, groups, size_bytes,"
                " state, reason, live_version, attempts)"
                " VALUES ('d', 'default', 'default', '/a', 'abc', '1', '[\"everyone\"]', 3, 'live', '', 1, 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO versions (version, document_id, status, sha256, groups, title, media_type,"
                " pages, chunks) VALUES (1, 'd', 'live', 'abc', '[\"everyone\"]', 'A', 'text/plain', 1, 1)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO chunks (id, version, ordinal, text, kind, heading_path, pages, tokens) "
                "VALUES ('c', 1, 0, 'the words', 'text', '[]', '[1]', 2)"
            )
        )
    old.dispose()
    catalog = Catalog(tmp_path)
    (found,) = catalog.passages(["c"], Principal()).values()
    assert (found.chunk.text, found.chunk.boxes, found.document.source) == ("the words", (), "")
    first = Generations(catalog.database).live({"chunk_tokens": 256})
    assert (first.number, first.recipe) == (1, {"chunk_tokens": 256})
    catalog.close()


def test_what_was_deleted_leaves_the_log_too(tmp_path: Path) -> None:
    made = Database(tmp_path)
    with made.writing() as connection:
        connection.execute(tables.meta.insert().values(key="secret", value="heliotrope"))
    with made.writing() as connection:
        connection.execute(tables.meta.delete())
    assert b"heliotrope" in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert made.wipe() == {"pages in the write-ahead log": 0}
    assert b"heliotrope" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    made.close()


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    # Where not even root may make a file.
    with pytest.raises(IndexUnavailable, match="/proc/self/permafrost.db cannot be written: .*another home"):
        Database(Path("/proc/self"))
