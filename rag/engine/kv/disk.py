"""Blocks on disk, one file each, so that they outlive the process. A file that is damaged is no file.

Any number of processes may use one folder. The time of a file is its rank: when there is no room, the oldest
of all goes first, whatever model it is of.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rag.engine.kv.layout import Block, Shape

MAGIC = b"PFKV0003"  # then the size of the head, its checksum, the head as JSON, K and V
BEGIN = len(MAGIC) + 8


@dataclass(frozen=True, slots=True)
class Record:
    """What the head of a file says of its block. `parent` is the key of the node in front of it; `epoch` is
    the last removal of a document before it was computed."""

    key: str
    parent: str
    start: int
    tokens: list[int]
    bytes: int
    epoch: str
    crc: int = 0


class Disk:
    """A folder of blocks of one fingerprint: another model, build or layout has another folder beside it."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder / fingerprint
        self.folder.mkdir(parents=True, exist_ok=True)
        # Whoever writes now, or later, clears away what was left behind as well.
        with contextlib.suppress(OSError), self._alone(fcntl.LOCK_NB):
            self._files()

    def free_bytes(self) -> int:
        """Free space where blocks lie. Somebody may have deleted the folder; it is made again.

        Raises OSError where that cannot be, as when the home is gone as well.
        """
        if not self.folder.is_dir():
            self.folder.parent.mkdir(exist_ok=True)
            self.folder.mkdir(exist_ok=True)
        return shutil.disk_usage(self.folder).free

    def used_bytes(self) -> int:
        """What the blocks of all models take."""
        return sum(size for _, size, path in self._files(clear=False))

    def save(self, record: Record, block: Block, *, rank: float, limit_bytes: int) -> None:
        """Write a block, unless everything that would have to go for it ranks higher. `rank`: when it was of
        use, in seconds since 1970; `limit_bytes`: of all models. Raises OSError; then nothing is left behind.
        """
        k, v = np.ascontiguousarray(block.k), np.ascontiguousarray(block.v)
        crc = zlib.crc32(v.data, zlib.crc32(k.data))
        head = json.dumps(asdict(replace(record, crc=crc))).encode()
        part = self._path(record.key).with_suffix(".tmp")
        with self._alone():
            if self.touch(record.key, rank):  # another process was faster
                return
            if not self._make_room(BEGIN + len(head) + block.bytes, rank, limit_bytes):
                return
            try:
                with part.open("wb") as file:
                    file.write(MAGIC + len(head).to_bytes(4, "little"))
                    file.write(zlib.crc32(head).to_bytes(4, "little") + head)
                    file.write(k.data)
                    file.write(v.data)
                os.utime(part, (rank, rank))
                os.replace(part, self._path(record.key))
            except OSError:
                part.unlink(missing_ok=True)
                raise

    def touch(self, key: str, rank: float) -> bool:
        """A block was of use; False if its file is gone."""
        try:
            os.utime(self._path(key), (rank, rank))
        except OSError:
            return False
        return True

    def load(self, key: str, shape: Shape) -> Block | None:
        """A block, or None if its file is missing or damaged; a damaged one is removed."""
        try:
            with self._path(key).open("rb") as file:
                record = _read_head(file)
                data = np.fromfile(file, np.uint8)
        except (OSError, ValueError, TypeError, KeyError):
            self.remove(key)
            return None
        tokens = len(record.tokens)
        split = shape.layers * tokens * shape.k_row
        if len(data) != tokens * shape.token_bytes or zlib.crc32(data.data) != record.crc:
            self.remove(key)
            return None
        k = data[:split].reshape(shape.layers, tokens, shape.k_row)
        if shape.transposed:
            v = data[split:].reshape(shape.layers, shape.v_width, tokens * shape.v_size)
        else:
            v = data[split:].reshape(shape.layers, tokens, shape.v_size)
        return Block(record.start, k, v)

    def remove(self, key: str) -> None:
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def records(self, epoch: str) -> Iterator[Record]:
        """The head of every file, those in front first; unreadable files are removed, and those that a
        removal missed since their writer was killed."""
        found: list[Record] = []
        for path in self.folder.glob("*.kv"):
            try:
                with path.open("rb") as file:
                    record = _read_head(file)
                if path.stat().st_size < record.bytes or (record.key, record.epoch) != (path.stem, epoch):
                    raise ValueError(path)
                found.append(record)
            except (OSError, ValueError, TypeError, KeyError):
                with contextlib.suppress(OSError):
                    path.unlink()
        yield from sorted(found, key=lambda record: record.start)

    @contextlib.contextmanager
    def _alone(self, how: int = 0) -> Iterator[None]:
        """While no other process writes blocks of this home."""
        handle = os.open(self.folder.parent, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | how)
            yield
        finally:
            os.close(handle)

    def _make_room(self, size: int, rank: float, limit_bytes: int) -> bool:
        files = sorted(self._files())
        taken = sum(one for _, one, _ in files)
        going: list[str] = []
        for other, one, path in files:
            if taken + size <= limit_bytes:
                break
            if other > rank:
                return False
            going.append(path)
            taken -= one
        if taken + size > limit_bytes:
            return False
        for path in going:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return True

    def _files(self, *, clear: bool = True) -> list[tuple[float, int, str]]:
        """Rank, size and path of every block of the home. `clear`, alone only: what writers who were killed
        left behind goes."""
        found = []
        for path in glob.iglob(f"{glob.escape(str(self.folder.parent))}/*/*"):
            with contextlib.suppress(FileNotFoundError):  # a removal takes them at any time
                if path.endswith(".kv"):
                    facts = os.stat(path)
                    found.append((facts.st_mtime, facts.st_size, path))
                elif clear and path.endswith(".tmp") and not os.path.isdir(path):
                    os.unlink(path)
        return found

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.kv"


def _read_head(file: BinaryIO) -> Record:
    begin = file.read(BEGIN)
    if begin[: len(MAGIC)] != MAGIC:
        raise ValueError("not a block")
    size, crc = (int.from_bytes(begin[at : at + 4], "little") for at in (len(MAGIC), len(MAGIC) + 4))
    if size > 1 << 24:
        raise ValueError("a head of that size is none")
    # A wrong position in it would turn keys to a place where they never stood.
    if zlib.crc32(head := file.read(size)) != crc:
        raise ValueError("the head is damaged")
    return Record(**json.loads(head))
