"""Blocks on disk, one file each, so that they outlive the process. A file that is damaged is no file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rag.engine.kv.layout import Block, Shape

MAGIC = b"PFKV0001"


@dataclass(frozen=True, slots=True)
class Record:
    """What the head of a file says of its block. `parent` is the key of the node in front of it."""

    key: str
    parent: str
    start: int
    tokens: list[int]
    bytes: int
    crc: int


class Disk:
    """A folder of blocks of one fingerprint: another model, build or layout has another folder."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder / fingerprint
        self.folder.mkdir(parents=True, exist_ok=True)
        for torn in self.folder.glob("*.tmp"):
            torn.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Free space where blocks lie. Somebody may have deleted the folder; it is made again.

        Raises OSError where that cannot be, as when the home is gone as well.
        """
        if not self.folder.is_dir():
            self.folder.parent.mkdir(exist_ok=True)
            self.folder.mkdir(exist_ok=True)
        return shutil.disk_usage(self.folder).free

    def save(self, key: str, parent: str, tokens: list[int], block: Block) -> None:
        """Write a block. Raises OSError; then nothing is left behind."""
        k, v = np.ascontiguousarray(block.k), np.ascontiguousarray(block.v)
        crc = zlib.crc32(v.data, zlib.crc32(k.data))
        record = Record(key, parent, block.start, tokens, block.bytes, crc)
        head = json.dumps(asdict(record)).encode()
        part = self._path(key).with_suffix(".tmp")
        try:
            with part.open("wb") as file:
                file.write(MAGIC + len(head).to_bytes(4, "little") + head)
                file.write(k.data)
                file.write(v.data)
            os.replace(part, self._path(key))
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def load(self, key: str, shape: Shape) -> Block | None:
        """A block, or None if its file is missing or damaged; a damaged one is removed."""
        try:
            with self._path(key).open("rb") as file:
                record = _read_head(file.read(12), file)
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

    def records(self) -> Iterator[Record]:
        """The head of every file, those in front first; unreadable files are removed."""
        found: list[Record] = []
        for path in self.folder.glob("*.kv"):
            try:
                with path.open("rb") as file:
                    record = _read_head(file.read(12), file)
                if path.stat().st_size < record.bytes or record.key != path.stem:
                    raise ValueError(path)
                found.append(record)
            except (OSError, ValueError, TypeError, KeyError):
                path.unlink(missing_ok=True)
        yield from sorted(found, key=lambda record: record.start)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.kv"


def _read_head(begin: bytes, file: object) -> Record:
    if begin[:8] != MAGIC:
        raise ValueError("not a block")
    size = int.from_bytes(begin[8:], "little")
    if size > 1 << 24:
        raise ValueError("a head of that size is none")
    return Record(**json.loads(file.read(size)))  # type: ignore[attr-defined]
