"""Containers of files, zip and tar: their members as parts, and no bomb unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any

from ingest.parsing.blocks import ParsedDocument, Part
from rag.errors import Damaged, LimitExceeded, NeedsPassword, NoText, ParseError, Unsupported

MAX_MEMBERS = 10_000
MAX_TOTAL_BYTES = 1 << 30
MAX_RATIO = 200
RATIO_MATTERS_ABOVE = 10_000_000
MAX_NAME = 200
PIECE = 1 << 20
# What archivers leave behind and nobody wrote.
FURNITURE = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$|\.git/)", re.IGNORECASE)
BROKEN = (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


def check_zip(data: bytes) -> None:
    """Raises LimitExceeded for a bomb, Damaged for a directory that cannot be read. Unpacks nothing."""
    members = directory(data).infolist()
    if len(members) > MAX_MEMBERS:
        raise LimitExceeded(f"the container has {len(members)} members, the limit is {MAX_MEMBERS}")
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL_BYTES:
        raise LimitExceeded(f"the container unpacks to {total} bytes, the limit is {MAX_TOTAL_BYTES}")
    for member in members:
        ratio = member.file_size / max(1, member.compress_size)
        if member.file_size > RATIO_MATTERS_ABOVE and ratio > MAX_RATIO:
            raise LimitExceeded(f"a member is compressed {ratio:.0f} times, the limit is {MAX_RATIO}")


def directory(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (*BROKEN, NotImplementedError) as error:
        raise Damaged(f"the zip container cannot be read: {error}") from None


@dataclass
class Allowance:
    """How many bytes may still be unpacked. A directory can lie, so what comes out is counted too."""

    left: int = MAX_TOTAL_BYTES

    def read(self, stream: IO[bytes], packed: int) -> bytes:
        """All of a stream whose packed form has that many bytes. Raises LimitExceeded."""
        most = max(RATIO_MATTERS_ABOVE, MAX_RATIO * packed)
        pieces, size = [], 0
        while piece := stream.read(PIECE):
            size += len(piece)
            self.left -= len(piece)
            if self.left < 0:
                raise LimitExceeded(f"the container unpacks to more than {MAX_TOTAL_BYTES} bytes")
            if size > most:
                raise LimitExceeded(f"a member is compressed more than {MAX_RATIO} times")
            pieces.append(piece)
        return b"".join(pieces)


class Collection:
    """Members as parts, each under a clean name of its own, and what is wrong with the others."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._problems: list[ParseError] = []

    def take(self, name: str, read: Callable[[], bytes]) -> None:
        """Read one member. Raises LimitExceeded; any other problem costs only that member."""
        if FURNITURE.search(name):
            return
        try:
            data = read()
        except LimitExceeded:
            raise
        except ParseError as error:
            self._problems.append(error)
            return
        name = unused(clean_name(name), self._parts)
        self._parts[name] = Part(name, data)

    def document(self) -> ParsedDocument:
        """Raises what is wrong with the members when none could be read, NoText when there are none."""
        if not self._parts:
            raise self._problems[0] if self._problems else NoText("the archive is empty")
        lost = f"{len(self._problems)} members could not be read"
        return ParsedDocument(
            (), parts=tuple(self._parts.values()), warnings=(lost,) if self._problems else ()
        )


def clean_name(name: str) -> str:
    """A path that stays where it is put: relative, without `..`, drive letters and control characters."""
    name = re.sub(r"[\x00-\x1f\x7f]", "", name.replace("\\", "/"))
    steps = [step for step in name.split("/") if step not in ("", ".", "..")]
    if steps and re.fullmatch(r"[A-Za-z]:", steps[0]):
        steps = steps[1:]
    return "/".join(step.strip()[-MAX_NAME:] for step in steps) or "unnamed"


def unused(name: str, names: Container[str]) -> str:
    """The name, numbered before its extension when it is taken."""
    stem, dot, extension = name.rpartition(".")
    if not stem or "/" in extension:
        stem, dot, extension = name, "", ""
    number = 2
    while name in names:
        name, number = f"{stem} ({number}){dot}{extension}", number + 1
    return name


def parse_zip(data: bytes, *, passwords: Sequence[str] = ()) -> ParsedDocument:
    """The members of a zip archive as parts. Raises LimitExceeded, Damaged, NeedsPassword or NoText."""
    check_zip(data)
    found, allowance = Collection(), Allowance()
    with directory(data) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                found.take(member.filename, partial(unzipped, archive, member, allowance, passwords))
    return found.document()


def unzipped(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, allowance: Allowance, passwords: Sequence[str]
) -> bytes:
    """One member. Raises NeedsPassword when none of the passwords opens it, Unsupported or Damaged."""
    encrypted = member.flag_bits & 1
    for password in passwords if encrypted else ("",):
        try:
            with archive.open(member, pwd=password.encode() or None) as stream:
                return allowance.read(stream, member.compress_size)
        except NotImplementedError as error:
            raise Unsupported(f"a member is packed in a way that cannot be read: {error}") from None
        except RuntimeError:
            continue  # a wrong password
        except BROKEN as error:
            if not encrypted:  # a wrong password may also look right until the bytes make no sense
                raise Damaged(f"a member cannot be unpacked: {error}") from None
    raise NeedsPassword("the archive is encrypted; put its password into ingest.passwords")


def parse_tar(data: bytes, name: str = "") -> ParsedDocument:
    """The members of a tar archive, compressed or not, as parts; of a single compressed file, that file."""
    allowance = Allowance()
    plain = uncompressed(data, allowance) if data[257:262] != b"ustar" else data
    found = Collection()
    if plain[257:262] != b"ustar":
        found.take(PurePosixPath(name).stem, lambda: plain)
        return found.document()
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise LimitExceeded(f"the container has more than {MAX_MEMBERS} members")
                if member.isreg():
                    found.take(member.name, partial(untarred, archive, member, allowance))
    except BROKEN as error:
        raise Damaged(f"the tar container cannot be read: {error}") from None
    return found.document()


def untarred(archive: tarfile.TarFile, member: tarfile.TarInfo, allowance: Allowance) -> bytes:
    try:
        stream = archive.extractfile(member)
        return allowance.read(stream, member.size) if stream else b""
    except BROKEN as error:
        raise Damaged(f"a member cannot be unpacked: {error}") from None


def uncompressed(data: bytes, allowance: Allowance) -> bytes:
    """What gzip, bzip2 or xz packed. Raises Damaged or LimitExceeded."""
    opener = OPENERS[data[:2]]
    try:
        with opener(io.BytesIO(data)) as stream:
            return allowance.read(stream, len(data))
    except BROKEN as error:
        raise Damaged(f"the compressed file cannot be unpacked: {error}") from None
