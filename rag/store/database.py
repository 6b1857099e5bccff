"""The one database: a file in the home, or Postgres, and how a transaction on it behaves.

Its tables are in tables.py, what is particular to Postgres in postgres.py.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from rag.errors import DiskFull, IndexUnavailable, RagError
from rag.store import postgres

FILE = "permafrost.db"
REVISION = "0005"  # the newest step in migrations/versions; a test keeps the two equal
BUSY_TIMEOUT_S = 30
VALUES_PER_STATEMENT = 500
TEXTS = ("documents", "versions", "chunks", "bands", "messages", "feedback", "replies")  # hold people's words

FULL = "database or disk is full"  # SQLite's words

T = TypeVar("T")


def batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in slices that fit one statement, and one transaction that keeps nobody waiting."""
    for start in range(0, len(values), VALUES_PER_STATEMENT):
        yield values[start : start + VALUES_PER_STATEMENT]


class Database:
    """Short transactions on home/permafrost.db, or on a Postgres database when `url` names one.

    Safe to use from many threads and processes; Postgres also from many machines. Raises IndexUnavailable
    when it cannot be opened or reached, SettingsError for a `url` that cannot be used.
    """

    def __init__(self, home: Path, url: str = "") -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.path = home / FILE
        if not url:
            # For its owner only, whoever made the home; SQLite gives its log the rights of the file.
            try:
                self.path.touch(mode=0o600)
            except OSError as error:
                raise IndexUnavailable(
                    f"{self.path} cannot be written: {error.strerror}; give this user the right, or choose "
                    "another home"
                ) from None
        self.engine = postgres.connect(url) if url else connect(self.path)
        self.name = self.engine.url.render_as_string() if url else str(self.path)
        self._snapshots = self.engine.execution_options(**postgres.SNAPSHOT) if url else self.engine
        self._writers = self.engine.execution_options(immediate=True)
        try:
            with self._translated():
                self._bring_up_to_date()
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self._translated(), self._snapshots.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, so what it read stays true."""
        with self._translated(), self._writers.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing_beside_others(self) -> Iterator[Connection]:
        """A transaction that must lock the one row it writes, or name what it saw there.

        On Postgres others write meanwhile, and what it read may be old; SQLite has one writer in any case.
        """
        engine = self.engine if self.engine.dialect.name == "postgresql" else self._writers
        with self._translated(), engine.connect() as connection, connection.begin():
            yield connection

    def wipe(self) -> dict[str, int]:
        """Overwrite what deleted rows left behind, as far as we can; what is left, by name, in pages.

        SQLite overwrites rows as it deletes them, its log is emptied here. Postgres is told to vacuum; its
        log, replicas and backups are the server's.
        """
        with self._translated(), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text(f"VACUUM {', '.join(TEXTS)}"))
                return {}
            busy, pages, _ = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
            return {"pages in the write-ahead log": int(pages) if busy else 0}

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        self.engine.dispose()

    def _bring_up_to_date(self) -> None:
        """Run the migrations it has not seen. Raises IndexUnavailable if it is newer or damaged."""
        if revision_of(self.engine, self.name) == REVISION:
            return
        with self._migrating():
            revision = revision_of(self.engine, self.name)
            if revision == REVISION:
                return
            if revision is not None and revision > REVISION:
                raise IndexUnavailable(
                    f"{self.name} has schema {revision}, this version of Permafrost knows {REVISION}: "
                    "upgrade Permafrost, or choose another home"
                )
            from rag.store.migrations.upgrade import upgrade  # Alembic takes 0.3 s to import

            upgrade(self.engine, REVISION)

    @contextmanager
    def _migrating(self) -> Iterator[None]:
        """One process migrates; the others wait and then find nothing left to do.

        On Postgres they wait for the lock of the transaction in which it is done.
        """
        if self.engine.dialect.name == "postgresql":
            yield
            return
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns what the server raises, or the way to it, into our errors."""
        try:
            yield
        except DBAPIError as error:
            told: RagError | None = None
            if self.engine.dialect.name == "postgresql":
                told = postgres.explained(error, self.name)
            elif FULL in str(error.orig):
                told = DiskFull(f"no space is left for {self.name}: free some; what was committed is safe")
            if told is None:
                raise
            raise told from None


def connect(path: Path) -> Engine:
    """An engine whose connections are durable, patient, and checked by foreign keys."""
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours to send, see below
        # What was deleted is overwritten: the text of a removed document must not stay in free pages.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def revision_of(engine: Engine, name: str | Path) -> str | None:
    """The schema revision stored in the database, None for a new one."""
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DatabaseError as error:
        if engine.dialect.name != "sqlite":
            raise
        if isinstance(error, OperationalError):
            problem = f"{name} cannot be opened: {error.orig}; check permissions and free space"
        else:
            problem = f"{name} is damaged ({error.orig}): restore a backup, or remove it and ingest again"
        raise IndexUnavailable(problem) from None
