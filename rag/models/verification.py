"""Frozen means verified: a model file is used only if it has the digest that models.lock pins."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from rag.errors import ModelError, ModelMismatch
from rag.models.lockfile import Entry, encoder_of


def verify(path: Path, entry: Entry) -> None:
    """Compare every pinned file below `path` with its digest. Raises ModelMismatch naming both digests.

    A file is read once per process, and again when its size, time or inode changed.
    """
    for pinned in entry.files:
        # `path` is the entry's own file or folder; pinned paths start from beside it.
        file = path.parent / pinned.path
        if not file.is_file():
            raise ModelError(f"{file} of model {entry.name!r} is missing; install it again")
        size = file.stat().st_size
        if size != pinned.size:
            raise ModelMismatch(
                f"{file} is not the {entry.name!r} that models.lock pins: expected {pinned.size} bytes "
                f"(sha256 {pinned.sha256}), found {size}; install it again"
            )
        actual = digest(file)
        if actual != pinned.sha256:
            raise ModelMismatch(
                f"{file} is not the {entry.name!r} that models.lock pins: expected sha256 {pinned.sha256}, "
                f"actual {actual}; install it again"
            )


def verified(model: str, home: Path) -> tuple[Path, str]:
    """The folder that a setting means, with the digest of its weights; checked where models.lock pins it."""
    folder, pinned = encoder_of(model, home)
    if pinned:
        verify(folder, pinned)
        return folder, pinned.sha256
    weights = folder / "model.safetensors"
    return folder, digest(weights) if weights.exists() else ""


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    stat = path.stat()
    return _digest(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
