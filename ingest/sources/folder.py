"""Files and folders as a source: what is there, and a digest of each content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.errors import NotFound
from rag.store.queue import Listed


@dataclass(frozen=True, slots=True)
class Listing:
    """Every file found, the folders and files that were asked for, and names that no database can hold."""

    items: tuple[Listed, ...]
    roots: tuple[str, ...]
    unnameable: tuple[str, ...] = ()


def listing(paths: Sequence[Path], *, home: Path, max_file_bytes: int) -> Listing:
    """What lies under the paths, without hidden files and our own home. Raises NotFound."""
    items: dict[str, Listed] = {}
    unnameable = []
    roots = []
    for path in paths:
        root = Path(os.path.abspath(path.expanduser()))
        if not root.exists():
            raise NotFound(f"no file or folder {path}")
        roots.append(root.as_posix())
        for file in files(root, skipping=home.resolve()):
            try:
                file.as_posix().encode("utf-8")
            except UnicodeEncodeError:
                unnameable.append(os.fsencode(file).decode("utf-8", "backslashreplace"))
                continue
            items[file.as_posix()] = look_at(file, max_file_bytes)
    return Listing(tuple(items.values()), tuple(roots), tuple(unnameable))


def files(root: Path, *, skipping: Path) -> Iterator[Path]:
    """Regular files under a root in a stable order. Links are followed, each folder once."""
    if root.is_file():
        yield root
        return
    seen: set[tuple[int, int]] = set()
    for folder, names, found in os.walk(root, followlinks=True):
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen or Path(folder).resolve() == skipping:
            names.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(found):
            # "~$" marks the lock files of Office.
            if not name.startswith((".", "~$")) and (path := Path(folder, name)).is_file():
                yield path


def look_at(file: Path, max_file_bytes: int) -> Listed:
    """A file with the digest of its content; of one we cannot read, its size and time."""
    about = file.stat()
    digest = f"unread-{about.st_size}-{about.st_mtime_ns}"
    if about.st_size <= max_file_bytes and os.access(file, os.R_OK):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Listed(file.as_posix(), digest, about.st_size)
