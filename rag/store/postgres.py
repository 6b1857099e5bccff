"""Postgres as the database: how a connection behaves, and what its errors mean. For more than one machine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from rag.errors import DiskFull, IndexUnavailable, RagError, SettingsError

# One writer at a time, as SQLite has it: this lock, which belongs to the database, ends with the transaction.
WRITER_LOCK = 0x7065726D
LOCK_TIMEOUT_S = 30
# A machine that vanished in the middle of a transaction must not keep the lock.
IDLE_TIMEOUT_S = 60
SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
DIALECTS = ("postgresql", "postgres")


def connect(url: str) -> Engine:
    """An engine for store.database_url. Raises SettingsError for what is no such URL, or without the driver.

    A transaction with the option `immediate` waits for the writer lock first. It reads committed rows, not a
    snapshot: a snapshot is taken by the first statement, which is the one that waits.
    """
    try:
        engine = create_engine(
            checked(url), isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args=arguments(url)
        )
    except ModuleNotFoundError:
        raise SettingsError(
            "store.database_url needs the driver of Postgres: pip install 'permafrost-rag[postgres]'"
        ) from None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("immediate", False):
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (WRITER_LOCK,))

    return engine


def checked(url: str) -> URL:
    """The URL with our driver in it. Raises SettingsError; its text holds no password."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "store.database_url is no URL; write postgresql://user:password@host:5432/database"
        ) from None
    if found.get_backend_name() not in DIALECTS:
        raise SettingsError(
            f"store.database_url names {found.drivername!r}; have postgresql, or leave it empty for SQLite"
        )
    return found.set(drivername="postgresql+psycopg")


def arguments(url: str) -> dict[str, Any]:
    """What libpq is told beyond the URL; what the URL says itself goes first."""
    limits = {"lock_timeout": LOCK_TIMEOUT_S, "idle_in_transaction_session_timeout": IDLE_TIMEOUT_S}
    ours = {
        "application_name": "permafrost",
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "options": " ".join(f"-c {name}={seconds}s" for name, seconds in limits.items()),
    }
    return {name: value for name, value in ours.items() if name not in checked(url).query}


def explained(error: DBAPIError, where: str) -> RagError | None:
    """What an error of the server or of the way to it means; None for one that is ours."""
    said = " ".join(str(error.orig).split())
    code = getattr(error.orig, "sqlstate", None) or ""
    if code == "53100":
        return DiskFull(f"the Postgres server of {where} has no space left: {said}")
    if code == "42501":
        return IndexUnavailable(
            f"{where}: {said}; make the user the owner of the database, or grant it CREATE on the schema"
        )
    if code == "55P03":
        return IndexUnavailable(
            f"{where}: another process has written for more than {LOCK_TIMEOUT_S} s; try again"
        )
    # Shut down, starting up, too many clients, or never reached: libpq gives no code for the last.
    if code[:2] in ("57", "53", "08", "28", "3D") or not code:
        return IndexUnavailable(f"{where} cannot be reached: {said}; {way_out(said)}")
    return None


def way_out(said: str) -> str:
    """What to do about a connection that was refused; the server's words are the only hint there is."""
    if "password" in said or "authentication" in said or "role" in said:
        return "check user and password in store.database_url"
    if "does not exist" in said:
        return "create it (createdb), or correct the name in store.database_url"
    return "check host and port in store.database_url, and that the server runs"
