"""The one database of a home: its tables, and how a connection to it behaves."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.exc import DatabaseError, OperationalError

from rag.errors import IndexUnavailable

FILE = "permafrost.db"
REVISION = "0001"  # the newest step in migrations/versions; a test keeps the two equal
BUSY_TIMEOUT_S = 30

metadata = MetaData()

documents = Table(
    "documents",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("uri", Text, nullable=False),
    Column("sha256", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("live_version", Integer),
    Column("attempts", Integer, nullable=False),
    Column("owner", String),
    Column("lease_until", Float),
    UniqueConstraint("tenant", "collection", "uri"),
    Index("documents_by_state", "state"),
)

# No foreign key to documents: a retired version outlives its document until the index has dropped its points.
versions = Table(
    "versions",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("document_id", String, nullable=False, index=True),
    Column("status", String, nullable=False, index=True),
    Column("sha256", String, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("title", Text, nullable=False),
    Column("media_type", String, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, not even after its row is gone
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", String, primary_key=True),
    Column("version", Integer, ForeignKey("versions.version", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("heading_path", JSON, nullable=False),
    Column("pages", JSON, nullable=False),
    Column("tokens", Integer, nullable=False),
    UniqueConstraint("version", "ordinal"),
)

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
)


class Database:
    """Short transactions on home/permafrost.db. Safe to use from many threads and processes."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.path = home / FILE
        self.engine = connect(self.path)
        try:
            bring_up_to_date(self.engine, self.path)
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, so what it read stays true."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(immediate=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        self.engine.dispose()


def connect(path: Path) -> Engine:
    """An engine whose connections are durable, patient, and checked by foreign keys."""
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours to send, see below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def bring_up_to_date(engine: Engine, path: Path) -> None:
    """Run the migrations this database has not seen. Raises IndexUnavailable if it is newer or damaged."""
    if revision_of(engine, path) == REVISION:
        return
    # One process migrates; the others wait here and then find nothing left to do.
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        revision = revision_of(engine, path)
        if revision == REVISION:
            return
        if revision is not None and revision > REVISION:
            raise IndexUnavailable(
                f"{path} has schema {revision}, this version of Permafrost knows {REVISION}: "
                "upgrade Permafrost, or choose another home"
            )
        from rag.store.migrations.upgrade import upgrade  # Alembic takes 0.3 s to import and is rarely needed

        upgrade(engine, REVISION)


def revision_of(engine: Engine, path: Path) -> str | None:
    """The schema revision stored in the database, None for a new one."""
    try:
        with engine.connect() as connection:
            tables = connection.execute(text("SELECT name FROM sqlite_master")).scalars().all()
            if "alembic_version" not in tables:
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except OperationalError as error:
        problem = f"{path} cannot be opened: {error.orig}; check permissions and free space"
        raise IndexUnavailable(problem) from None
    except DatabaseError as error:
        problem = f"{path} is damaged ({error.orig}): restore a backup, or remove it and ingest again"
        raise IndexUnavailable(problem) from None
