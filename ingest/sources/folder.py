"""Files and folders as a source: what is there, by size and times, and a look-out for changes."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from ingest.sources.selection import Selection, is_storable, shown
from ingest.sources.source import Changes
from rag.errors import Forbidden, LimitExceeded, NotFound, SourceError
from rag.store.queue import Listed, is_under

# File systems keep times as coarsely as this; what changed so recently may change again without a trace.
RACY_NS = 2_000_000_000
# After these we know that nothing can be read there; after others (a failing disk) we know nothing.
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}

LEADS_OUT = 'is a link that leads out of the folder: name its target as a source too, or set links = "all"'
LEADS_NOWHERE = "is a link to something that is not there"
UNREADABLE = "it may not be read by this user"
NO_FILE = "is no file but a pipe, a socket or a device"

Readers = frozenset[str] | None  # None: everybody


class Links(StrEnum):
    """Which links are followed. Who may write in a folder could else read whatever we may read."""

    INSIDE = "inside"
    ALL = "all"


@dataclass(slots=True)
class Walk:
    """One walk below a root, as it fills. `now_ns` None: fingerprints without regard for fresh files."""

    now_ns: int | None
    items: dict[str, Listed] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    is_complete: bool = True

    def failed(self, path: str, error: OSError) -> None:
        """Note what could not be looked at."""
        if error.errno != errno.ENOENT:
            self.problems.append((shown(path), error.strerror or str(error)))
        self.is_complete = self.is_complete and error.errno in NOT_THERE


class FolderSource:
    """Everything below some paths but hidden files, Office's lock files (~$) and our own home.

    Links are followed as far as `links` says, each folder once. `posix_permissions`: readers come from mode
    and group of file and folders; access control lists are not looked at.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        home: Path,
        max_file_bytes: int,
        name: str = "",
        selection: Selection | None = None,
        posix_permissions: bool = False,
        links: Links = Links.INSIDE,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name = name
        self._roots = tuple(Path(os.path.abspath(path.expanduser())) for path in paths)
        self._home = home
        self._max_file_bytes = max_file_bytes
        self._selection = selection or Selection()
        self._posix_permissions = posix_permissions
        self._inside = () if links is Links.ALL else tuple(os.path.realpath(root) for root in self._roots)
        self._clock_ns = clock_ns

    def changes(self, cursor: str = "") -> Changes:
        """All files, with fingerprints from size, times and inode; no file is opened.

        Raises NotFound for a path that is not there, SourceError for one that cannot be read.
        """
        items: dict[str, Listed] = {}
        problems: list[tuple[str, str]] = []
        complete = []
        for root in self._roots:
            walk = self._walk(root, self._clock_ns())
            items |= walk.items
            problems += walk.problems
            if walk.is_complete:
                complete.append(root.as_posix())
        roots = tuple(complete)
        return Changes(tuple(items.values()), roots, problems=tuple(problems), mounts=roots)

    def fetch(self, uri: str, into: Path) -> Path:
        """The file itself. Raises NotFound, LimitExceeded, Forbidden while it may not be read by us, and
        SourceError for a disk or share that fails."""
        about = looked_at(uri) if any(is_under(uri, root.as_posix()) for root in self._roots) else None
        if about is None or not stat.S_ISREG(about.st_mode):
            raise NotFound(f"no file {shown(uri)}")
        if self._leads_out(uri):
            raise Forbidden(f"{shown(uri)} {LEADS_OUT}")
        if about.st_size > self._max_file_bytes:
            raise LimitExceeded(f"{about.st_size} bytes; ingest.max_file_bytes allows {self._max_file_bytes}")
        if not os.access(uri, os.R_OK):
            raise Forbidden(UNREADABLE)
        return Path(uri)

    def watch(
        self, *, stop: threading.Event, interval_s: float = 2.0, settle_s: float = 1.0
    ) -> Iterator[None]:
        """Yield after the first look, then after changes, once it has been quiet for `settle_s`, at the
        latest after ten times that.

        Looks, rather than asking the kernel: that also works on network file systems and in containers. Large
        trees take long to look at, so pauses grow to keep it under 5 % of one core. Ends when `stop` is set.
        """
        before, pause = self._glance(), interval_s
        yield
        while not stop.wait(pause):
            started = time.monotonic()
            now = self._glance()
            pause = max(interval_s, 20 * (time.monotonic() - started))
            if now == before:
                continue
            deadline = started + 10 * settle_s
            while now != before and time.monotonic() < deadline and not stop.wait(settle_s):
                before, now = now, self._glance()
            before = now
            yield

    def close(self) -> None:
        """Nothing is held."""

    def _glance(self) -> dict[str, Listed]:
        """What is there, told apart only by what the file system says."""
        items: dict[str, Listed] = {}
        for root in self._roots:
            try:
                items |= self._walk(root, None).items
            except (NotFound, SourceError, OSError):
                continue
        return items

    def _walk(self, root: Path, now_ns: int | None) -> Walk:
        walk = Walk(now_ns)
        if self._home.exists():
            walk.seen.add(identity(os.stat(self._home)))
        try:
            about = root.stat()
        except OSError as error:
            said = f": {error.strerror}" if error.errno != errno.ENOENT else ""
            raise NotFound(f"no file or folder {shown(str(root))}{said}") from None
        if root.is_file():
            self._look_at(walk, root.as_posix(), root.name, about, None)
            return walk
        if not root.is_dir():
            raise NotFound(f"{root} {NO_FILE}, and no folder")
        if not os.access(root, os.R_OK | os.X_OK):
            raise SourceError(f"{root} may not be read by this user")
        ahead: list[tuple[str, str, Readers]] = [(root.as_posix(), "", None)]
        while ahead:
            ahead += reversed(self._enter(walk, *ahead.pop()))
        return walk

    def _enter(
        self, walk: Walk, folder: str, relative: str, readers: Readers
    ) -> list[tuple[str, str, Readers]]:
        """Look at the files of one folder; returns the folders in it."""
        try:
            about = os.stat(folder)
            if identity(about) in walk.seen:
                return []
            walk.seen.add(identity(about))
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            walk.failed(folder, error)
            return []
        within = self._readers(about, readers, stat.S_IXGRP, stat.S_IXOTH)
        folders = []
        for entry in found:
            # "~$" marks the lock files of Office.
            if entry.name.startswith((".", "~$")):
                continue
            path = f"{relative}/{entry.name}" if relative else entry.name
            try:
                is_folder = entry.is_dir()
                if self._selection.skips(path) if is_folder else not self._selection.takes(path):
                    continue
                if problem := self._obstacle(entry):
                    walk.problems.append((shown(entry.path), problem))
                elif is_folder:
                    folders.append((entry.path, path, within))
                else:
                    self._look_at(walk, entry.path, path, entry.stat(), within)
            except OSError as error:
                walk.failed(entry.path, error)
        return folders

    def _obstacle(self, entry: os.DirEntry[str]) -> str:
        """Why nothing is taken from an entry; empty: it is a file or a folder of ours."""
        if entry.is_symlink() and self._leads_out(entry.path):
            return LEADS_OUT
        if entry.is_dir() or entry.is_file():
            return ""
        return LEADS_NOWHERE if entry.is_symlink() and not os.path.exists(entry.path) else NO_FILE

    def _leads_out(self, path: str) -> bool:
        """Whether a path ends outside our folders, by whatever links are on the way."""
        real = os.path.realpath(path)
        return bool(self._inside) and not any(is_under(real, root) for root in self._inside)

    def _look_at(self, walk: Walk, file: str, relative: str, about: os.stat_result, within: Readers) -> None:
        if not is_storable(file):
            walk.problems.append((shown(file), "its name is not UTF-8: rename it"))
        elif self._selection.takes(relative):
            readers = self._readers(about, within, stat.S_IRGRP, stat.S_IROTH)
            walk.items[file] = self._selection.listed(
                relative,
                uri=file,
                fingerprint=fingerprint(about, walk.now_ns),
                size_bytes=about.st_size,
                groups=None if readers is None else tuple(readers),
                owner=user_name(about.st_uid) if self._posix_permissions else "",
            )

    def _readers(self, about: os.stat_result, within: Readers, group_bit: int, other_bit: int) -> Readers:
        """Who gets past this folder or file, of those who got here.

        "In both of two groups" cannot be said with groups, so two different ones in a row leave nobody.
        """
        if not self._posix_permissions or about.st_mode & other_bit:
            return within
        group = frozenset({group_name(about.st_gid)} if about.st_mode & group_bit else ())
        return group if within is None else group & within


def looked_at(uri: str) -> os.stat_result | None:
    """What the file system says of a path; None: nothing is there. Raises Forbidden or SourceError."""
    try:
        return os.stat(uri)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise Forbidden(UNREADABLE) from None
    except OSError as error:
        raise SourceError(f"{shown(uri)} cannot be looked at: {error.strerror}") from None


def identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def fingerprint(about: os.stat_result, now_ns: int | None) -> str:
    """Size, times and inode; another one at every look while a file is so fresh that they may not tell."""
    told = f"{about.st_size}-{about.st_mtime_ns}-{about.st_ctime_ns}-{about.st_ino}"
    if now_ns is None:
        return told
    is_racy = about.st_ctime_ns > now_ns - RACY_NS or abs(now_ns - about.st_mtime_ns) < RACY_NS
    return f"{told}-{now_ns}" if is_racy else told


@lru_cache(maxsize=4096)
def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid-{gid}"


@lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
