"""The bytes of documents that lie in no folder of the user's: uploads, attachments, what sources sent."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from rag.errors import DiskFull
from rag.store.copying import FULL

FOLDER = "originals"
MARK = "swept"
DAY_S = 86_400.0


class Originals:
    """Files by the digest of their content, each once, in home/originals."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER

    def path(self, sha256: str) -> Path:
        """Where the bytes of this digest are, if they are kept."""
        return self.folder / sha256[:2] / sha256

    def draft(self) -> Path:
        """A place to write to before the digest is known."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder / f"{secrets.token_hex(8)}.tmp"

    def keep(self, draft: Path) -> str:
        """Take over a written draft; its digest."""
        with draft.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        self.place(draft, sha256)
        return sha256

    def place(self, draft: Path, sha256: str) -> None:
        """Take over a draft that is safely on disk and has this digest."""
        place = self.path(sha256)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.replace(place)

    def is_due(self) -> bool:
        """Whether a day has passed since this was last true: time to look for what nobody wants."""
        mark = self.folder / MARK
        with contextlib.suppress(FileNotFoundError):
            if time.time() - mark.stat().st_mtime < DAY_S:
                return False
        if not self.folder.is_dir():
            return False
        mark.touch()
        return True

    def old(self, *, older_than_s: float = DAY_S) -> list[str]:
        """Names of files that lie here so long; younger ones may belong to somebody at work."""
        now = time.time()
        found = []
        for file in self._files():
            with contextlib.suppress(FileNotFoundError):
                if file.name != MARK and now - file.stat().st_mtime > older_than_s:
                    found.append(file.name)
        return found

    def drop(self, sha256: str) -> bool:
        """Delete the bytes of one digest, or a draft that was left; whether there were any."""
        for file in (self.path(sha256), self.folder / sha256):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
                return True
        return False

    def _files(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from (file for file in self.folder.rglob("*") if file.is_file())


def no_room(error: OSError, folder: Path | str) -> DiskFull | None:
    """What an error of writing below a folder of originals means if its disk is full; None: another error."""
    if error.errno not in FULL:
        return None
    return DiskFull(f"no space is left in {folder}: free some, and ingest again")
