"""A copy of a home as it was at one moment, made while others read and write it.

The database first, then the bytes of documents that it names: they are named after their content and never
change, so only one that was deleted in between can be missing, and then a later moment is taken. The index,
KV and page pictures are not copied: refill.py makes the index again from the chunks in the database.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import rag
from rag.errors import BackupError, DiskFull, IndexUnavailable, ModelMismatch, Overloaded
from rag.store.copying import Held, copy, write
from rag.store.database import FILE, FULL, Database
from rag.store.ground import clear, refuse_a_full_disk, refuse_the_place
from rag.store.manifest import KEPT, UNFINISHED, Manifest
from rag.store.originals import Originals

TRIES = 5
# Tables whose rows a person asks about after a restore.
COUNTED = ("documents", "chunks", "users", "keys", "conversations", "ledger", "audit")
NAMED = (
    "SELECT sha256 FROM versions UNION SELECT sha256 FROM documents UNION SELECT fingerprint FROM documents"
)
BUSY_S = 30.0
PAGES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"  # in bytes

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """One state of a home. `originals`: digests of the bytes that were kept then and that it names, sized."""

    at: float
    revision: str
    rows: Mapping[str, int]
    originals: Mapping[str, int]


def create(
    database: Database,
    home: Path,
    target: Path,
    *,
    models: Sequence[Held] = (),
    with_models: bool = False,
    spare_bytes: int = 0,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Back a home up into a folder that is not there, or empty. An interrupted one has no manifest.

    `models`: files of added models, relative to the home. `progress` hears originals copied and originals in
    all. Raises BadRequest for a folder that cannot be used, DiskFull when less than `spare_bytes` would be
    left, IndexUnavailable for a damaged database, ModelMismatch, Overloaded when documents go too fast.
    """
    refuse_the_place(target, home)
    write(target / UNFINISHED, b"")
    with suppress(PermissionError):  # it may be the root of a disk that is another's
        target.chmod(0o700)
    try:
        return Making(database, home, target, spare_bytes, progress).run(models, with_models)
    except BaseException:
        clear(target)
        raise


class Making:
    """One backup while it is made."""

    def __init__(
        self, database: Database, home: Path, target: Path, spare_bytes: int, progress: Progress
    ) -> None:
        self._database, self._home, self._target = database, home, target
        self._spare_bytes, self._progress = spare_bytes, progress
        self._originals = Originals(home)
        self._copied: dict[str, Held] = {}
        self._damaged: set[str] = set()

    def run(self, models: Sequence[Held], with_models: bool) -> Manifest:
        wanted = models if with_models else ()
        for _ in range(TRIES):
            moment = self._moment(sum(each.size for each in wanted))
            if self._copy_originals(moment.originals):
                break
        else:
            raise Overloaded(
                f"documents were deleted during each of {TRIES} tries: make it at a quieter time"
            )
        for path in set(self._copied) - {self._place(each) for each in moment.originals}:
            (self._target / path).unlink()
            del self._copied[path]
        manifest = Manifest(
            version=rag.__version__,
            revision=moment.revision,
            created_at=moment.at,
            rows=moment.rows,
            files=(*self._small(), *self._copied.values(), *map(self._model, wanted)),
            models=tuple(models),
            damaged=tuple(sorted(self._damaged - self._copied.keys())),
        )
        return manifest.write(self._target)

    def _moment(self, more_bytes: int) -> Moment:
        """Copy the database as it is now, with the small files and the names of the bytes that go with it."""
        draft = self._target / FILE
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        with closing(sqlite3.connect(self._database.path, timeout=BUSY_S, isolation_level=None)) as pinned:
            # Nobody commits while we hold the write lock: audit heads are never ahead of the rows, and bytes
            # are deleted only under it. The long copy below needs no lock, its transaction sees this moment.
            with self._database.writing():
                pinned.execute("BEGIN")
                pinned.execute("SELECT version_num FROM alembic_version").fetchone()
                at, kept = time.time(), {path.name: path for path in self._kept()}
                for name in KEPT:
                    if (self._home / name).is_file():
                        write(self._target / name, (self._home / name).read_bytes())
            named = {row[0] for row in pinned.execute(NAMED)} & kept.keys()
            sizes = {digest: size_of(kept[digest]) for digest in sorted(named)}
            todo = sum(each for digest, each in sizes.items() if self._place(digest) not in self._copied)
            (pages,) = pinned.execute(PAGES).fetchone()
            refuse_a_full_disk(self._target, pages + todo + more_bytes, self._spare_bytes)
            revision, rows = copy_database(pinned, draft)
        return Moment(at, revision, rows, sizes)

    def _place(self, digest: str) -> str:
        """Where bytes lie in a home, and in a backup."""
        return self._originals.path(digest).relative_to(self._home).as_posix()

    def _kept(self) -> Iterable[Path]:
        return self._originals.folder.glob("??/*") if self._originals.folder.is_dir() else ()

    def _copy_originals(self, wanted: Mapping[str, int]) -> bool:
        """Copy what is not copied yet; whether all of it was still there."""
        for number, digest in enumerate(wanted, 1):
            path = self._place(digest)
            if path not in self._copied:
                try:
                    held = copy(self._originals.path(digest), self._target / path, path)
                except BackupError as error:
                    if isinstance(error.__cause__, FileNotFoundError):
                        return False
                    raise
                if held.sha256 == digest:
                    self._copied[path] = held
                else:
                    (self._target / path).unlink()
                    self._damaged.add(path)
            self._progress(number, len(wanted))
        return True

    def _small(self) -> list[Held]:
        """The files that lie in the backup already."""
        here = (name for name in (FILE, *KEPT) if (self._target / name).exists())
        return [copy(self._target / name, None, name) for name in here]

    def _model(self, pinned: Held) -> Held:
        held = copy(self._home / pinned.path, self._target / pinned.path, pinned.path)
        if held != pinned:
            raise ModelMismatch(
                f"{self._home / pinned.path} is not what models.lock pins: mend it, or leave out --models"
            )
        return held


def copy_database(pinned: sqlite3.Connection, draft: Path) -> tuple[str, dict[str, int]]:
    """Write what an open transaction sees to a file of its own; its schema, and the rows of COUNTED."""
    try:
        with closing(sqlite3.connect(draft)) as made:
            pinned.backup(made)
            made.execute("PRAGMA journal_mode=DELETE")  # one file, and no log beside it
            problem = made.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise IndexUnavailable(f"the database of this home is damaged ({problem}): restore a backup")
            (revision,) = made.execute("SELECT version_num FROM alembic_version").fetchone()
            rows = {name: made.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in COUNTED}
    except sqlite3.DatabaseError as error:
        if FULL in str(error):
            raise DiskFull(f"no space is left for {draft}: free some, then do it again") from None
        raise IndexUnavailable(f"the database of this home cannot be copied: {error}") from None
    return revision, rows


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
