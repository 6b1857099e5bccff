"""The database of a home: made once, migrated once, refused when it is from the future."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from rag.errors import IndexUnavailable
from rag.store import database
from rag.store.database import Database


def test_a_new_home_gets_the_newest_schema(tmp_path: Path) -> None:
    made = Database(tmp_path / "home")
    assert database.revision_of(made.engine, made.path) == database.REVISION
    made.close()


def test_the_migrations_make_the_tables_that_the_code_describes(tmp_path: Path) -> None:
    made = Database(tmp_path)
    with made.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), database.metadata) == []
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
