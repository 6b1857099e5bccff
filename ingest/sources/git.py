"""The files of a branch of a Git repository as a source."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from ingest.sources.clone import TIP, Clone, without_password
from ingest.sources.selection import Selection, is_storable, shown
from ingest.sources.source import Changes
from rag.errors import LimitExceeded, NotFound, SourceError, Unsupported

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
FILE = ("100644", "100755")
LINE = re.compile(r"(\d{6}) (\w+) ([0-9a-f]+) +(\d+|-)\t(.*)", re.DOTALL)


class GitSource:
    """The files of the newest commit below a folder, without links and submodules.

    The id of a blob is the fingerprint, so a commit that does not touch a file does not touch its document.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        clone: Path,
        branch: str = "",
        folder: str = "",
        user: str = "git",
        token: str = "",
        max_file_bytes: int,
        selection: Selection | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        self.name = name
        self._clone = Clone(clone, url=url, branch=branch, user=user, token=token, timeout_s=timeout_s)
        self._root = f"git+{without_password(url)}@{branch or 'HEAD'}"
        self._folder = folder.strip("/")
        self._max_file_bytes = max_file_bytes
        self._selection = selection or Selection()
        self._lock = threading.Lock()

    def changes(self, cursor: str = "") -> Changes:
        """All files; the commit's id is the cursor. Raises SourceError."""
        with self._lock:
            commit = self._clone.update()
        place = ["--", f":(top,literal){self._folder}/"] if self._folder else []
        listing = self._clone.git("ls-tree", "-r", "-z", "--long", "--full-tree", commit, *place)
        items, problems = [], []
        for line in listing.split(b"\0")[:-1]:
            entry = LINE.fullmatch(line.decode("utf-8", "surrogateescape"))
            if entry is None or entry[1] not in FILE:
                continue
            path = entry[5]
            relative = path.removeprefix(f"{self._folder}/") if self._folder else path
            if not is_storable(path):
                problems.append((shown(path), "its name is not UTF-8: rename it"))
            elif self._selection.takes(relative):
                items.append(
                    self._selection.listed(
                        relative,
                        uri=f"{self._root}/{path}",
                        fingerprint=entry[3],
                        size_bytes=int(entry[4]),
                    )
                )
        root = f"{self._root}/{self._folder}".rstrip("/")
        return Changes(tuple(items), (root,), cursor=commit, problems=tuple(problems))

    def fetch(self, uri: str, into: Path) -> Path:
        """Write a file of the commit seen last. Raises NotFound, SourceError, LimitExceeded, Unsupported."""
        path = uri.removeprefix(f"{self._root}/")
        if path == uri:
            raise NotFound(f"{uri} is not part of this source")
        with self._lock:
            if not self._clone.exists():
                self._clone.update()
        blob = self._blob(path)
        size = int(self._clone.git("cat-file", "-s", blob))
        if size > self._max_file_bytes:
            raise LimitExceeded(f"{size} bytes; ingest.max_file_bytes allows {self._max_file_bytes}")
        with into.open("w+b") as file:
            self._clone.git("cat-file", "blob", blob, into=file)
            file.seek(0)
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise Unsupported("only a pointer into Git LFS, which is not read")
        return into

    def close(self) -> None:
        """Nothing is held; the clone stays for the next run."""

    def _blob(self, path: str) -> str:
        try:
            found = self._clone.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{TIP}:{path}")
        except SourceError:
            raise NotFound(f"no file {path} in {self._root}") from None
        return found.decode().strip().splitlines()[-1]
