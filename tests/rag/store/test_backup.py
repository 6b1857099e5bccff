"""A home is copied while it is written to, checked byte by byte, and made again elsewhere."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rag.accounts.accounts import Accounts
from rag.accounts.audit import HEADS
from rag.accounts.pepper import FILE as PEPPER
from rag.commands.backup import refuse_postgres
from rag.cost.ledger import KEY as LEDGER_KEY
from rag.engine.kv.gate import FILE as CHUNK_GATES
from rag.errors import BackupError, BadRequest, DiskFull, ModelMismatch, SettingsError
from rag.models.gates import FILE as GATES
from rag.models.lockfile import own_lock
from rag.settings import Settings, StoreSettings
from rag.store.backup import create
from rag.store.catalog import Catalog
from rag.store.copying import Held, copy
from rag.store.database import FILE, Database
from rag.store.generations import Generations
from rag.store.manifest import KEPT, NAME, UNFINISHED, Manifest, verify
from rag.store.originals import Originals
from rag.store.restoring import finish, leave_other_generations, restore
from rag.types import Principal

Publish = Callable[..., int]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "kb"


@pytest.fixture
def catalog(home: Path) -> Iterator[Catalog]:
    with closing(Catalog(home)) as catalog:
        yield catalog


@pytest.fixture
def send(home: Path, publish: Publish) -> Callable[[str], str]:
    """Index a document whose bytes are kept here; their digest."""
    originals = Originals(home)

    def send(name: str) -> str:
        draft = originals.draft()
        draft.write_text(f"bytes of {name}")
        digest = originals.keep(draft)
        publish(name, digest)
        return digest

    return send


@pytest.fixture
def made(home: Path, catalog: Catalog, send: Callable[[str], str], tmp_path: Path) -> Manifest:
    """A backup in tmp_path/b of a home with two documents and a key."""
    for name in ("/a", "/b"):
        send(name)
    _, shown = Accounts(catalog.database, home).issue("lin", "default", "laptop")
    (tmp_path / "key").write_text(shown)
    return create(catalog.database, home, tmp_path / "b")


def test_what_cannot_be_made_again_has_the_names_that_its_owners_use(tmp_path: Path) -> None:
    lock = own_lock(tmp_path).relative_to(tmp_path).as_posix()
    assert set(KEPT) == {PEPPER, LEDGER_KEY, HEADS, GATES, CHUNK_GATES, lock}


def test_a_backup_holds_the_database_the_bytes_it_names_and_the_secrets(
    home: Path, made: Manifest, tmp_path: Path
) -> None:
    (home / "kv").mkdir()
    paths = [each.path for each in made.files]
    assert (made.rows["documents"], made.rows["chunks"], made.rows["keys"]) == (2, 2, 1)
    assert sum(path.startswith("originals/") for path in paths) == 2
    assert {PEPPER, FILE} <= set(paths) and "kv" not in os.listdir(tmp_path / "b")
    assert verify(tmp_path / "b") == made
    for each in [tmp_path / "b", *(tmp_path / "b").rglob("*")]:
        assert not stat.S_IMODE(each.stat().st_mode) & 0o077, each
    assert not (tmp_path / "b" / UNFINISHED).exists()


def test_a_restored_home_has_the_same_rows_and_the_same_bytes(
    home: Path, made: Manifest, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir(mode=0o755)
    restore(tmp_path / "b", fresh)
    for each in made.files:
        if each.path != FILE:
            assert (fresh / each.path).read_bytes() == (home / each.path).read_bytes()
    assert not stat.S_IMODE(fresh.stat().st_mode) & 0o077
    with closing(Database(fresh)) as database, database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM chunks")).scalar() == 2
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    with closing(Database(fresh)) as database:
        holder = Accounts(database, fresh).keys.holder((tmp_path / "key").read_text())
    assert (holder.user, holder.tenant) == ("lin", "default")


def test_an_altered_byte_is_named_and_not_restored(made: Manifest, tmp_path: Path) -> None:
    backup, fresh = tmp_path / "b", tmp_path / "fresh"
    for held in made.files:
        file = backup / held.path
        right = file.read_bytes()
        for wrong in (right[:-1] + bytes([right[-1] ^ 1]), right[:-1]):
            file.write_bytes(wrong)
            with pytest.raises(BackupError, match=f"{held.path} (has|holds other)"):
                verify(backup)
            with pytest.raises(BackupError, match=held.path):
                restore(backup, fresh)
        file.write_bytes(right)
    (backup / held.path).unlink()
    with pytest.raises(BackupError, match="cannot be read: No such file"):
        restore(backup, fresh)
    assert not fresh.exists(), "nothing is written out of a damaged backup"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"revision": "9999"}, "upgrade Permafrost"),
        ({"form": 2}, "upgrade this one"),
        ({"files": [{"path": "models/../../x", "size": 1, "sha256": "0"}]}, "names 'models/../../x'"),
        ({"files": [{"path": "/etc/passwd", "size": 1, "sha256": "0"}]}, "names '/etc/passwd'"),
        ({"files": []}, f"names no {FILE}"),
        ({"rows": 1, "files": 1}, "is damaged"),
    ],
)
def test_a_manifest_of_others_is_refused(
    made: Manifest, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    file = tmp_path / "b" / NAME
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(BackupError, match=problem):
        restore(tmp_path / "b", tmp_path / "fresh")


def test_a_link_in_a_backup_is_not_followed(made: Manifest, tmp_path: Path) -> None:
    pepper = tmp_path / "b" / PEPPER
    pepper.rename(tmp_path / "elsewhere")
    pepper.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackupError, match=f"{PEPPER} cannot be read"):
        verify(tmp_path / "b")


def test_places_that_hold_something_are_left_alone(
    home: Path, catalog: Catalog, made: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(BadRequest, match="is there and not empty"):
        create(catalog.database, home, tmp_path / "b")
    with pytest.raises(BadRequest, match="lies in the home"):
        create(catalog.database, home, home / "backup")
    with pytest.raises(BadRequest, match="holds something already"):
        restore(tmp_path / "b", home)
    with pytest.raises(BackupError, match=f"holds no {NAME}"):
        restore(home, tmp_path / "fresh")
    assert verify(tmp_path / "b") == made


def test_a_disk_without_room_is_told_before_anything_is_copied(
    home: Path, catalog: Catalog, made: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(DiskFull, match=r"MB free; .* MB are needed and"):
        create(catalog.database, home, tmp_path / "c", spare_bytes=10**18)
    with pytest.raises(DiskFull, match="MB are needed"):
        restore(tmp_path / "b", tmp_path / "fresh", spare_bytes=10**18)
    assert not (tmp_path / "c").exists() and not (tmp_path / "fresh").exists()


def test_bytes_deleted_while_they_are_copied_are_not_missed(
    home: Path, catalog: Catalog, send: Callable[[str], str], tmp_path: Path
) -> None:
    digests = sorted(send(f"/{number}") for number in range(4))
    gone = digests[-1]

    def delete(done: int, _: int) -> None:
        if done == 1 and Originals(home).path(gone).exists():
            with catalog.database.writing() as connection:
                for table in ("documents WHERE fingerprint", "versions WHERE sha256"):
                    connection.execute(
                        text(f"DELETE FROM {table} IN (:a, :b)"), {"a": gone, "b": f"sha-{gone}"}
                    )
            Originals(home).drop(gone)

    made = create(catalog.database, home, tmp_path / "b", progress=delete)
    held = sorted(each.sha256 for each in made.files if each.path.startswith("originals/"))
    assert (made.rows["documents"], held) == (3, digests[:-1])


def test_a_backup_while_others_write_is_one_moment(
    home: Path, catalog: Catalog, send: Callable[[str], str], tmp_path: Path
) -> None:
    accounts, over = Accounts(catalog.database, home), threading.Event()

    accounts.audit.record("documents.create", "test")
    accounts.audit.export_head()

    def work() -> None:
        for number in range(10_000):
            send(f"/{number}")
            accounts.audit.record("documents.create", "test", object=str(number))
            if over.is_set():
                return

    writer = threading.Thread(target=work)
    writer.start()
    try:
        counts: list[int] = []
        for number in range(3):
            known = counts[-1] if counts else 0
            while len(catalog.live_versions()) < known + 20:
                time.sleep(0.01)
            made = create(catalog.database, home, tmp_path / f"b{number}")
            counts.append(made.rows["documents"])
    finally:
        over.set()
        writer.join()
    assert counts == sorted(set(counts)), "documents came while it was made"
    for number in range(3):
        fresh = tmp_path / f"fresh{number}"
        restore(tmp_path / f"b{number}", fresh)
        with closing(Database(fresh)) as database:
            with database.reading() as connection:
                named = set(connection.execute(text("SELECT fingerprint FROM documents")).scalars())
            found = Accounts(database, fresh).audit.verify()
        kept = {each.name for each in (fresh / "originals").glob("??/*")}
        assert (kept, found.problem) == (named, "")


def test_a_killed_backup_is_not_taken_for_one(home: Path, made: Manifest, tmp_path: Path) -> None:
    target = tmp_path / "c"
    program = (
        "import os, signal, sys; from pathlib import Path; from rag.store.backup import create;"
        "from rag.store.database import Database; home, target = map(Path, sys.argv[1:]);"
        "create(Database(home), home, target, progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(home), str(target)])
    assert done.returncode == -signal.SIGKILL and (target / FILE).exists()
    with pytest.raises(BackupError, match="was interrupted: remove it"):
        restore(target, tmp_path / "fresh")
    with closing(Database(home)) as database, pytest.raises(BadRequest, match="was interrupted: remove it"):
        create(database, home, target)


def test_a_restore_that_was_interrupted_goes_on(made: Manifest, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    restore(tmp_path / "b", fresh)
    (fresh / FILE).unlink()  # as if it had been killed before the last rename
    restore(tmp_path / "b", fresh)
    assert copy(fresh / FILE, None, FILE) in made.files
    with closing(Database(fresh)) as database, database.writing() as connection:
        connection.execute(text("DELETE FROM keys"))
    restore(tmp_path / "b", fresh)
    with closing(Database(fresh)) as database, database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM keys")).scalar() == 0, "it was in use already"
    finish(fresh)
    with pytest.raises(BadRequest, match="holds something already"):
        restore(tmp_path / "b", fresh)


def test_damaged_bytes_of_one_document_do_not_stop_the_others(
    home: Path, catalog: Catalog, send: Callable[[str], str], tmp_path: Path
) -> None:
    bad, good = send("/a"), send("/b")
    Originals(home).path(bad).write_text("something else")
    made = create(catalog.database, home, tmp_path / "b")
    assert made.damaged == (f"originals/{bad[:2]}/{bad}",)
    assert good in [each.sha256 for each in verify(tmp_path / "b").files]


def test_added_models_are_listed_and_copied_when_asked(
    home: Path, catalog: Catalog, publish: Publish, tmp_path: Path
) -> None:
    file = home / "models/m.gguf"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    pinned = copy(file, None, "models/m.gguf")
    without = create(catalog.database, home, tmp_path / "b", models=[pinned])
    assert without.missing_models == ["models/m.gguf"]
    made = create(catalog.database, home, tmp_path / "c", models=[pinned], with_models=True)
    assert pinned in made.files and not made.missing_models
    with pytest.raises(ModelMismatch, match="leave out --models"):
        wrong = Held(pinned.path, pinned.size, "0" * 64)
        create(catalog.database, home, tmp_path / "d", models=[wrong], with_models=True)
    assert not (tmp_path / "d").exists()


def test_a_generation_whose_index_is_not_there_is_given_up(catalog: Catalog, publish: Publish) -> None:
    publish("/a")
    generations = Generations(catalog.database)
    first = generations.live({"model": "a"})
    generations.build({"model": "b"})
    assert leave_other_generations(catalog.database) == 1
    assert generations.all() == [first]


def test_a_catalog_in_postgres_is_left_to_its_own_tools() -> None:
    settings = Settings(store=StoreSettings(database_url="postgresql://db.example.org/catalog"))
    with pytest.raises(SettingsError, match="pg_dump"):
        refuse_postgres(settings)


@pytest.mark.slow
def test_a_running_home_is_backed_up_and_answers_elsewhere(tmp_path: Path) -> None:
    """F-14: `rag ingest` runs meanwhile; what the backup says it holds is all there afterwards."""
    home, fresh, docs, backup = (tmp_path / name for name in ("kb", "fresh", "docs", "backup"))
    docs.mkdir()
    (docs / "leave.md").write_text("# Leave\n\nEmployees of Nordwind have 28 days of paid leave a year.\n")
    assert rag_command(home, "ingest", str(docs)).returncode == 0
    key = rag_command(home, "keys", "create", "laptop", "--user", "lin").stdout.strip()
    for number in range(120):
        (docs / f"{number}.md").write_text(f"# Room {number}\n\nRoom {number} has {number} chairs.\n")
    ingest = subprocess.Popen(
        [sys.executable, "-m", "rag.cli", "ingest", str(docs)], env=surroundings(home), stderr=subprocess.PIPE
    )
    try:
        until(lambda: documents(home) > 5)
        told = rag_command(home, "backup", "create", str(backup), "--json")
        assert told.returncode == 0, told.stderr
        assert live_in(backup) < 121, "it was made while documents came"
    finally:
        _, errors = ingest.communicate(timeout=240)
    assert ingest.returncode == 0, errors
    made = json.loads(told.stdout)
    # What is read where it lies is gone too: an index made again needs no document.
    docs.rename(tmp_path / "moved")
    done = rag_command(fresh, "backup", "restore", str(backup), "--digest", made["digest"], "--json")
    assert done.returncode == 0, done.stderr
    index = json.loads(done.stdout)["index"]
    with closing(Catalog(fresh)) as catalog:
        live = catalog.live_versions()
        assert index["versions"] == len(live) >= 5 and index["chunks"] == sum(live.values())
        assert Accounts(catalog.database, fresh).audit.verify().problem == ""
        states = [each.state for each in catalog.documents(Principal())]
        assert (len(states), len(live)) == (made["rows"]["documents"], live_in(backup)), "none is lost"
        assert Accounts(catalog.database, fresh).keys.holder(key).user == "lin"
    answer = rag_command(fresh, "ask", "How many days of paid leave?", "--tier", "extract", "--json")
    assert "28 days" in answer.stdout, answer.stderr
    assert rag_command(fresh, "audit", "verify").returncode == 0
    assert rag_command(fresh, "cost", "verify").returncode == 0
    rows = json.loads(rag_command(fresh, "audit", "log", "--json").stdout)
    assert (rows[-1]["action"], rows[-1]["object"]) == ("backup.restore", made["digest"])
    again = rag_command(fresh, "backup", "restore", str(backup))
    assert again.returncode == 1 and "holds something already" in again.stderr


def surroundings(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    return kept | {"RAG_HOME": str(home), "RAG_STORE_MIN_FREE_BYTES": "0"}


def rag_command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rag.cli", *arguments],
        env=surroundings(home),
        capture_output=True,
        text=True,
        timeout=240,
    )


def documents(home: Path) -> int:
    with closing(Catalog(home)) as catalog:
        return len(catalog.live_versions())


def live_in(backup: Path) -> int:
    with closing(sqlite3.connect(f"file:{backup / FILE}?mode=ro", uri=True)) as snapshot:
        found: int = snapshot.execute("SELECT count(live_version) FROM documents").fetchone()[0]
        return found


def until(happened: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
