"""A catalog with a queue on each kind of database, and documents put into them by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text

from rag.store.catalog import Catalog
from rag.store.database import Database
from rag.store.intake import Intake
from rag.store.queue import Listed, Queue, Shelf
from rag.store.versions import Description
from rag.types import Chunk, Principal

EVERYONE = Principal()
SHELF = Shelf.of(EVERYONE, "default", ("everyone",), "1")
PASSWORD = "p@ss:word/%"  # with every letter that a URL must escape

Publish = Callable[..., int]


class PostgresServer:
    """A server in a folder of its own. It speaks on a socket there and nowhere else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Postgres refuses to run as root.
        self._owner = "postgres" if os.geteuid() == 0 else None
        secret = folder / "password"
        secret.write_text(PASSWORD)
        for path in (folder, secret):
            shutil.chown(path, self._owner or os.geteuid())
        init = ("-D", "data", "-U", "permafrost", "--auth=scram-sha-256", f"--pwfile={secret}")
        self._run("initdb", *init, "--encoding=UTF8", "--locale=C", "--no-sync")
        self.start()
        self.execute("CREATE DATABASE catalog")
        Database(folder, self.url("catalog")).close()
        # What the migrations put into it, where nobody compares the tables with those of the code.
        keep = "CREATE TABLE kept.generations AS SELECT state, recipe, created_at FROM generations"
        self.execute("CREATE SCHEMA kept", keep, database="catalog")

    def start(self) -> None:
        flags = f"-k {self._folder} -c listen_addresses='' -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", flags, "start")

    def stop(self) -> None:
        """As if its machine had lost power."""
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def url(self, database: str, *, user: str = "permafrost", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@/{database}?host={self._folder}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """As the owner of all."""
        url = self.url(database).replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def _run(self, name: str, *arguments: str) -> None:
        with (self._folder / "errors").open("w") as errors:
            # Not a pipe: the server inherits it and would keep it open.
            done = subprocess.run(
                [program(name), *arguments],
                user=self._owner,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        assert done.returncode == 0, (self._folder / "errors").read_text()


def program(name: str) -> str:
    """A program of Postgres; Debian keeps them out of the PATH. Empty when there is none."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(versions[-1]) if versions else "")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if not find_spec("psycopg"):
        pytest.skip("psycopg is not installed: pip install 'permafrost-rag[postgres]'")
    if not (program("initdb") and program("pg_ctl")):
        pytest.skip("no Postgres on this machine: apt-get install postgresql")
    # Not below pytest's own folder: the server's user may not go in there.
    folder = Path(tempfile.mkdtemp(prefix="permafrost-postgres-"))
    server = PostgresServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """A catalog as new; to empty one takes a twentieth of the time of another database."""
    postgres.execute(
        "TRUNCATE documents, versions, bands, chunks, jobs, cursors, meta, generations RESTART IDENTITY",
        "INSERT INTO generations (state, recipe, created_at) TABLE kept.generations",
        database="catalog",
    )
    return postgres.url("catalog")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Where the catalog is: what holds for one kind of database must hold for the other."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def catalog(tmp_path: Path, url: str) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path, url)
    yield catalog
    catalog.close()


@pytest.fixture
def queue(catalog: Catalog) -> Queue:
    return Queue(catalog.database)


@pytest.fixture
def publish(catalog: Catalog, queue: Queue) -> Publish:
    """Index a document of one chunk; its version."""

    def publish(uri: str, fingerprint: str = "a", *, shelf: Shelf = SHELF, job: str | None = None) -> int:
        queue.enqueue([Listed(uri, fingerprint, 1)], shelf, job=job)
        claim = queue.claim(lease_s=60)
        assert claim

        def cut(version: int) -> list[Chunk]:
            return [Chunk(f"{uri}-{version}", 0, f"text of {uri} {fingerprint}")]

        about = Description(uri, "text/plain", 1)
        version = Intake(catalog.database).take(claim, f"sha-{fingerprint}", about, cut, worker=queue.worker)
        assert version
        assert catalog.publish(claim.document_id, version)
        return version

    return publish
