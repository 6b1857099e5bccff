"""A home made out of a backup: every file as the manifest says, the database last.

Until its index is filled too (refill.py) a mark lies in the home, so that a restore that was interrupted goes
on when it is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rag.errors import BackupError, BadRequest
from rag.store.copying import copy, flush_folders, write
from rag.store.database import FILE, Database
from rag.store.generations import Generations, GenerationState
from rag.store.ground import is_free, refuse_a_full_disk
from rag.store.manifest import Manifest, check, verify

MARK = "restoring"
DRAFT = f"{FILE}.restoring"


def restore(
    source: Path, home: Path, *, spare_bytes: int = 0, progress: Callable[[int, int], None] = lambda *_: None
) -> Manifest:
    """Put the files of a backup into a home that is absent or empty; call `finish` when its index is filled.

    `progress` hears bytes checked and bytes in all. Raises BackupError for a backup that is not as it was
    made, before anything is written; BadRequest for a home that holds something, DiskFull.
    """
    manifest = verify(source, progress=progress)
    if not is_free(home) and begun(home) != manifest.digest:
        raise BadRequest(
            f"{home} holds something already: restore into another --home, or move that one away"
        )
    if begun(home) and (home / FILE).exists():
        return manifest
    refuse_a_full_disk(home, manifest.size, spare_bytes)
    write(home / MARK, manifest.digest.encode())
    home.chmod(0o700)
    for held in sorted(manifest.files, key=lambda each: each.path == FILE):
        name = DRAFT if held.path == FILE else held.path
        check(held, copy(source / held.path, home / name), source)
    flush_folders(home)
    (home / DRAFT).rename(home / FILE)
    flush_folders(home)
    return manifest


def leave_other_generations(database: Database) -> int:
    """Give up generations that do not answer, since their indexes were not backed up; how many there were."""
    known = Generations(database)
    others = [each for each in known.all() if each.state is not GenerationState.LIVE]
    for generation in others:
        known.drop(generation.number)
    return len(others)


def finish(home: Path) -> None:
    """Nothing of the restore is left to do."""
    (home / MARK).unlink(missing_ok=True)


def begun(home: Path) -> str:
    """The digest of the manifest that is being restored here; empty: none is."""
    try:
        return (home / MARK).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise BackupError(f"{home / MARK} cannot be read: {error}") from None
