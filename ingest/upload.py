"""Documents that are sent to us, on their way to our disk: bounded, hashed as they come, cleanly named."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import unicodedata
from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from rag.errors import BadRequest, DiskFull, PayloadTooLarge
from rag.store.originals import Originals

MAX_FILES = 100
MAX_NAME_BYTES = 200  # file systems take 255; a name is also part of the uri
WRITE_BYTES = 1_000_000
EVERYONE = ("everyone",)


@dataclass(frozen=True, slots=True)
class Draft:
    """One file that has arrived whole."""

    name: str
    path: Path
    sha256: str
    size_bytes: int


class Upload:
    """The files of one request. Whoever made it discards it; what was taken over by then stays."""

    def __init__(self, originals: Originals, *, max_file_bytes: int, min_free_bytes: int) -> None:
        self.drafts: list[Draft] = []
        self._originals = originals
        self._max_file_bytes, self._min_free_bytes = max_file_bytes, min_free_bytes
        self._paths: list[Path] = []

    async def add(self, name: str, pieces: AsyncIterable[bytes]) -> None:
        """Write one file as it comes.

        Raises PayloadTooLarge over the limit of a file, DiskFull, and BadRequest for an unusable name.
        """
        name = clean_name(name)
        if len(self.drafts) >= MAX_FILES:
            raise BadRequest(f"more than {MAX_FILES} files in one request; send the others in another one")
        if any(draft.name == name for draft in self.drafts):
            raise BadRequest(f"two files of the request are called {name!r}; a name stands for one document")
        path = await asyncio.to_thread(self._originals.draft)
        self._paths.append(path)
        digest, size, waiting = hashlib.sha256(), 0, bytearray()
        with await asyncio.to_thread(path.open, "xb") as file:
            async for piece in pieces:
                size += len(piece)
                if size > self._max_file_bytes:
                    limit = f"{self._max_file_bytes} bytes (setting ingest.max_file_bytes)"
                    raise PayloadTooLarge(f"{name} is larger than {limit}")
                digest.update(piece)
                waiting += piece
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(self._write, file, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(self._finish, file, bytes(waiting))
        self.drafts.append(Draft(name, path, digest.hexdigest(), size))

    def discard(self) -> None:
        """Delete what nobody has taken over."""
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _write(self, file: BinaryIO, data: bytes) -> None:
        free = shutil.disk_usage(self._originals.folder).free
        if free < self._min_free_bytes:
            raise DiskFull(
                f"{free // 10**6} MB are free in {self._originals.folder}, "
                f"{self._min_free_bytes // 10**6} MB must stay so (setting store.min_free_bytes)"
            )
        file.write(data)

    def _finish(self, file: BinaryIO, data: bytes) -> None:
        self._write(file, data)
        file.flush()
        os.fsync(file.fileno())


def clean_name(raw: str) -> str:
    """A file name as a sender gave it, without folders and without characters that do not show.

    Raises BadRequest when nothing is left of it.
    """
    last = unicodedata.normalize("NFC", raw).replace("\\", "/").rpartition("/")[2]
    # Cc, Cf, Cs, Co, Cn: control, invisible (also those that reverse the reading), half and unassigned.
    name = "".join(each for each in last if not unicodedata.category(each).startswith("C")).strip()
    if name.strip(". ") == "":
        raise BadRequest(f"{raw[:100]!r} is not a file name")
    suffix = PurePosixPath(name).suffix[:20]
    room = MAX_NAME_BYTES - len(suffix.encode())
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    return name.encode()[:room].decode(errors="ignore").rstrip() + suffix


def uri_of(collection: str, groups: tuple[str, ...], name: str) -> str:
    """The identity of an uploaded document.

    Its readers are part of it: nobody replaces, or finds out about, a document that he may not read.
    """
    readers = "" if groups == EVERYONE else ",".join(quote(group, safe="") for group in groups) + "/"
    return f"upload://{collection}/{readers}{name}"
