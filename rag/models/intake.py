"""How a file or a folder becomes a frozen model: looked at, pinned by digests, entered in the home's lock."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rag.errors import BadRequest, ModelError
from rag.models.abilities import why_not_generate
from rag.models.folders import Held, examine_folder
from rag.models.header import read_header
from rag.models.lockfile import ChatTemplate, Entry, PinnedFile
from rag.models.parts import merge, parts_of, whole_name
from rag.models.shelf import Shelf, discard
from rag.models.templates import template_for

CHUNK = 1 << 22


class Keep(StrEnum):
    """How a local file is kept: as a copy of its own, or where it lies, with a link to it."""

    COPY = "copy"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the owner says of a new model; what is empty is taken from the file.

    `graphs`: of an encoder's folder also those for ONNX Runtime and OpenVINO.
    """

    name: str = ""
    licence: str = ""
    template: str = ""
    graphs: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model file is good for, before it has a digest."""

    licence: str
    quantisation: str
    template: ChatTemplate


def add(shelf: Shelf, path: Path, wish: Wish, *, keep: Keep = Keep.COPY) -> Entry:
    """Enter a local GGUF, or the folder of an encoder. Raises ModelError for what cannot be used, BadRequest
    for a bad name."""
    path = path.absolute()
    return add_folder(shelf, path, wish, keep) if path.is_dir() else add_file(shelf, path, wish, keep)


def add_file(shelf: Shelf, path: Path, wish: Wish, keep: Keep) -> Entry:
    """Enter a GGUF; one in several parts is made one, by any of them."""
    parts = parts_of(path)
    if parts and keep is Keep.LINK:
        raise BadRequest(
            f"{path} is one of {len(parts)} parts, which are merged into a copy: leave out --link"
        )
    name = shelf.free_name(wish.name or name_of(whole_name(path)))
    if keep is Keep.LINK:
        check_apart(path, shelf.folder / f"{name}.gguf")
    facts = None if parts else examine(path, wish)
    part = shelf.folder / f"{name}.{os.getpid()}.part"
    shelf.room_for(sum(one.stat().st_size for one in parts or [path]) if keep is Keep.COPY else 0)
    merged = f", {len(parts)} parts merged" if parts else ""
    try:
        if parts:
            merge(parts, part)
            sha256 = digest_of(part)
        elif keep is Keep.LINK:
            link_to(path, part)
            sha256 = digest_of(path)
        else:
            sha256 = digest_of(path, copy_to=part)
        # A name of a file may hold bytes that are no text.
        title = os.fsencode(whole_name(path).name).decode("utf-8", "replace")
        told = f"{title}, added from this machine{merged}"
        entry = pinned(name, part, sha256, facts or examine(part, wish), source=told)
        shelf.place(part, entry)
    finally:
        discard(part)
    return entry


def add_folder(shelf: Shelf, path: Path, wish: Wish, keep: Keep) -> Entry:
    """Enter the folder of an encoder: those of its files that are read when it runs."""
    title = title_of(path)
    name = shelf.free_name(wish.name or name_of(Path(title), folder=True))
    check_apart(path, shelf.folder / name)
    held = examine_folder(path, graphs=wish.graphs, licence=wish.licence, called=title)
    part = shelf.folder / f"{name}.{os.getpid()}.part"
    sizes = {file: (path / file).stat().st_size for file in held.files}
    shelf.room_for(sum(sizes.values()) if keep is Keep.COPY else 0)
    try:
        if keep is Keep.LINK:
            link_to(path, part)
            digests = {file: digest_of(path / file) for file in held.files}
        else:
            digests = {file: digest_of(path / file, copy_to=part / file) for file in held.files}
        entry = pinned_folder(name, held, sizes, digests, source=f"{title}, added from this machine")
        shelf.place(part, entry)
    finally:
        discard(part)
    return entry


def check_apart(path: Path, kept: Path) -> None:
    """Raises BadRequest for what lies where it would be kept: that takes its place, and it would be gone."""
    if path.resolve() == kept.parent.resolve() / kept.name:
        raise BadRequest(
            f"{path} lies where the model would be kept: move it elsewhere and add it from there"
        )


def pinned_folder(
    name: str, held: Held, sizes: Mapping[str, int], digests: Mapping[str, str], *, source: str
) -> Entry:
    """The entry of a whole folder, with the sizes and digests of its files by their paths in it."""
    return Entry(
        name=name,
        kind=held.kind,
        file=name,
        files=tuple(PinnedFile(f"{name}/{file}", digests[file], sizes[file]) for file in held.files),
        licence=held.licence,
        quantisation=held.quantisation,
        source=source,
        languages=held.languages,
        query_prompt=held.prompts.query,
        document_prompt=held.prompts.document,
    )


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


def title_of(folder: Path) -> str:
    """What a folder is called; in a hub's cache, models--owner--name/snapshots/revision, by its model."""
    cached = folder.parent.parent.name if folder.parent.name == "snapshots" else ""
    named = cached.rpartition("--")[2] if cached.startswith("models--") else folder.name
    return os.fsencode(named).decode("utf-8", "replace")


def name_of(path: Path, *, folder: bool = False) -> str:
    """A name for a model, from that of its file, or of its folder, which has no extension."""
    named = path.name if folder else path.stem
    return re.sub(r"[^a-z0-9._-]+", "-", named.lower()).strip("-._")[:64]


def digest_of(path: Path, *, copy_to: Path | None = None) -> str:
    """The SHA-256 of a file; with `copy_to` of the bytes that were copied there, which are then on disk."""
    sha256 = hashlib.sha256()
    try:
        if copy_to:
            copy_to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
