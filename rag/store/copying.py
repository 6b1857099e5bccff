"""Files copied durably, for their owner only, and hashed on the way."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from rag.errors import BackupError, DiskFull

PIECE = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Held:
    """One file of `size` bytes; `path` is relative to the backup, and to the home."""

    path: str
    size: int
    sha256: str


def copy(source: Path, target: Path | None, path: str = "") -> Held:
    """Read a file, and write it to `target` if there is one. `path`: what the result is called.

    Raises BackupError when it cannot be read or written, caused by the OSError; DiskFull.
    """
    sha256, size = hashlib.sha256(), 0
    try:
        # Links are not followed: a backup that somebody else may write to could lead anywhere.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as stream, Target(target) as out:
            while piece := stream.read(PIECE):
                sha256.update(piece)
                size += len(piece)
                out.put(piece)
    except OSError as error:
        raise BackupError(f"{error.filename or source} cannot be read: {error.strerror}") from error
    return Held(path, size, sha256.hexdigest())


def write(target: Path, text: bytes) -> None:
    """Write a small file. Raises BackupError when it cannot be written, DiskFull."""
    with Target(target) as out:
        out.put(text)


class Target:
    """A file made anew, with its folders, and on disk when the block ends. None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._descriptor = -1

    def __enter__(self) -> Target:
        if self.path is not None:
            try:
                for folder in reversed(self.path.parents):
                    folder.mkdir(mode=0o700, exist_ok=True)
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            except OSError as error:
                raise self._told(error) from None
        return self

    def put(self, piece: bytes) -> None:
        """Write all of it. Raises BackupError, DiskFull."""
        view = memoryview(piece if self.path is not None else b"")
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise self._told(error) from None

    def __exit__(self, kind: object, *_: object) -> None:
        if self.path is None:
            return
        try:
            if kind is None:
                os.fsync(self._descriptor)
        except OSError as error:
            raise self._told(error) from None
        finally:
            os.close(self._descriptor)

    def _told(self, error: OSError) -> BackupError | DiskFull:
        if error.errno in FULL:
            return DiskFull(f"no space is left for {self.path}: free some, then do it again")
        return BackupError(f"{self.path} cannot be written: {error.strerror}")


def flush_folders(folder: Path) -> None:
    """Make the names of all files below durable, as fsync of a file does with its bytes."""
    for each in (folder, *(found for found in folder.rglob("*") if found.is_dir())):
        flush(each)


def flush(folder: Path) -> None:
    """Make the names of the files in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
