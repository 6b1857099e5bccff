"""How a file becomes a frozen model: looked at, pinned by its digest, and entered in the home's lock."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rag.errors import ModelError
from rag.models.abilities import why_not_generate
from rag.models.header import read_header
from rag.models.lockfile import ChatTemplate, Entry, PinnedFile
from rag.models.shelf import Shelf
from rag.models.templates import template_for

CHUNK = 1 << 22


class Keep(StrEnum):
    """How a local file is kept: as a copy of its own, or where it lies, with a link to it."""

    COPY = "copy"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the owner says of a new model; what is empty is taken from the file."""

    name: str = ""
    licence: str = ""
    template: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model file is good for, before it has a digest."""

    licence: str
    quantisation: str
    template: ChatTemplate


def add(shelf: Shelf, path: Path, wish: Wish, *, keep: Keep = Keep.COPY) -> Entry:
    """Enter a local GGUF. Raises ModelError for a file that cannot generate, BadRequest for a bad name."""
    path = path.absolute()
    name = shelf.free_name(wish.name or name_of(path))
    facts = examine(path, wish)
    part = shelf.folder / f"{name}.{os.getpid()}.part"
    shelf.room_for(path.stat().st_size if keep is Keep.COPY else 0)
    try:
        if keep is Keep.LINK:
            link_to(path, part)
            sha256 = digest_of(path)
        else:
            sha256 = digest_of(path, copy_to=part)
        # A name of a file may hold bytes that are no text.
        title = os.fsencode(path.name).decode("utf-8", "replace")
        entry = pinned(name, part, sha256, facts, source=f"{title}, added from this machine")
        shelf.place(part, entry)
    finally:
        part.unlink(missing_ok=True)
    return entry


def link_to(path: Path, part: Path) -> None:
    """Make `part` a link to a file."""
    try:
        part.symlink_to(path.resolve())
    except OSError as error:
        raise ModelError(f"no link to {path} can be made in {part.parent}: {error.strerror}") from None


def examine(path: Path, wish: Wish) -> Facts:
    """What a file is good for. Raises ModelError with the reason when it cannot answer."""
    header = read_header(path)
    if reason := why_not_generate(header):
        raise ModelError(f"{path} cannot be a generator: {reason}")
    return Facts(
        licence=wish.licence or header.licence or "not stated",
        quantisation=header.quantisation,
        template=template_for(header, wish.template),
    )


def pinned(name: str, file: Path, sha256: str, facts: Facts, *, source: str) -> Entry:
    """The entry of a finished file."""
    kept = f"{name}.gguf"
    return Entry(
        name=name,
        kind="generator",
        file=kept,
        files=(PinnedFile(kept, sha256, file.stat().st_size),),
        licence=facts.licence,
        quantisation=facts.quantisation,
        source=source,
        template=facts.template,
    )


def name_of(path: Path) -> str:
    """A name for a model, from that of its file."""
    return re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:64]


def digest_of(path: Path, *, copy_to: Path | None = None) -> str:
    """The SHA-256 of a file; with `copy_to` of the bytes that were copied there, which are then on disk."""
    sha256 = hashlib.sha256()
    try:
        with path.open("rb") as source, (copy_to or Path(os.devnull)).open("wb") as target:
            while data := source.read(CHUNK):
                sha256.update(data)
                if copy_to:
                    target.write(data)
            if copy_to:
                target.flush()
                os.fsync(target.fileno())
    except OSError as error:
        what = f"copied to {copy_to.parent}" if copy_to else "read"
        raise ModelError(f"{path} cannot be {what}: {error.strerror}") from None
    return sha256.hexdigest()
