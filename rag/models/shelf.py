"""The models that the owner of a home added: their files, and the lock that pins them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from rag.durable import write_whole
from rag.errors import BadRequest, ModelError, UnknownModel
from rag.models.lockfile import LOCK, Entry, own_lock, read_lock

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SPARE_BYTES = 256 << 20
# What add and quantise write to, by process; a fetched part has its digest there and is gone on from.
BEGUN = re.compile(r".+\.\d{1,7}\.part")
LONGEST_S = 86_400
HEADING = "# Models of this home, written by `rag models`. A file whose SHA-256 differs is refused.\n"


class Shelf:
    """`models/` of a home. Entries are written whole or not at all, by one process at a time."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "models"
        self.lock = own_lock(home)

    def entries(self) -> dict[str, Entry]:
        """The added models by their names."""
        return read_lock(self.lock)

    def free_name(self, name: str) -> str:
        """The name, if a new model may have it. Raises BadRequest when not."""
        if not NAME.fullmatch(name):
            raise BadRequest(
                f"{name!r} cannot be the name of a model: use up to 64 of a-z, 0-9, dot, dash and "
                "underscore, a letter or number first; choose one with --name"
            )
        if name in read_lock(LOCK):
            raise BadRequest(f"Permafrost brings a model {name!r} along; choose another --name")
        if name in self.entries():
            raise BadRequest(f"there is a model {name!r} already; `rag models rm {name}` or choose --name")
        return name

    def room_for(self, size: int) -> None:
        """Raises ModelError unless a file of `size` bytes fits beside some spare room."""
        self._make()
        self._sweep()
        free, need = shutil.disk_usage(self.folder).free, size + SPARE_BYTES
        if free < need:
            raise ModelError(
                f"{free / 1e6:,.0f} MB free where {self.folder} lies, the model needs {need / 1e6:,.0f}; "
                f"make room for {(need - free) / 1e6:,.0f} more"
            )

    def place(self, part: Path, entry: Entry) -> None:
        """Give a finished file its name and enter it. Raises BadRequest if the name was taken meanwhile, and
        ModelError if the lock cannot be written; the file is `part` again then."""
        with self._alone():
            self.free_name(entry.name)
            kept = self.folder / entry.file
            if kept.is_dir() and not kept.is_symlink():
                shutil.rmtree(kept)  # of a command that was killed before it could enter it
            part.replace(kept)
            try:
                self._write({**self.entries(), entry.name: entry})
            except ModelError:
                kept.replace(part)
                raise

    def remove(self, name: str) -> list[Path]:
        """Take a model out; the files that no other entry pins are deleted, and returned. Of a linked folder
        the link is."""
        with self._alone():
            entries = self.entries()
            if name not in entries:
                raise UnknownModel(f"no added model {name!r}; have {', '.join(entries) or 'none'}")
            gone = entries.pop(name)
            self._write(entries)  # first: an entry without its file would be an error to everyone
            kept = {
                file.path for entry in [*entries.values(), *read_lock(LOCK).values()] for file in entry.files
            }
            unused = [self.folder / file.path for file in gone.files if file.path not in kept]
            whole = self.folder / gone.file
            if whole.is_symlink():  # to what is not ours
                whole.unlink()
                return [whole]
            if whole.is_dir():
                shutil.rmtree(whole)
            for file in unused:
                file.unlink(missing_ok=True)
            return unused

    def _write(self, entries: Mapping[str, Entry]) -> None:
        told = HEADING + "".join(map(to_toml, entries.values()))
        try:
            write_whole(self.lock, told.encode(), mode=0o666)
        except OSError as error:
            raise ModelError(f"{self.lock} cannot be written: {error.strerror}") from None

    def _sweep(self) -> None:
        """Remove what commands that were killed had begun to write; nobody can go on from there."""
        for part in self.folder.glob("*.part"):
            with suppress(OSError):
                if BEGUN.fullmatch(part.name) and time.time() - part.lstat().st_mtime > LONGEST_S:
                    discard(part)

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ModelError(f"{self.folder} cannot be made: {error.strerror}") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._make()
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def discard(part: Path) -> None:
    """Delete what was begun: a file, a link, or a folder with all that is in it. Nothing happens to none."""
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)


def to_toml(entry: Entry) -> str:
    """An entry in the form of models.lock."""
    name = _text(entry.name)
    lines = [f"\n[{name}]"]
    # An empty text is written too: without a line that every entry has, the whole lock would not be read.
    for key in ("kind", "file", "licence", "quantisation", "source"):
        lines.append(f"{key} = {_text(getattr(entry, key))}")
    if entry.package:
        lines.append(f"package = {_text(entry.package)}")
    if entry.languages:
        lines.append(f"languages = {_value(entry.languages)}")
    for key in ("query_prompt", "document_prompt"):
        if prompt := getattr(entry, key):
            lines.append(f"{key} = {_text(prompt)}")
    for file in entry.files:
        lines += [
            f"\n[{name}.files.{_text(file.path)}]",
            f"sha256 = {_text(file.sha256)}",
            f"size = {file.size}",
        ]
    if entry.template:
        lines.append(f"\n[{name}.template]")
        lines += [
            f"{key} = {_value(value)}" for key, value in asdict(entry.template).items() if value is not None
        ]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_text(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _text(str(value))


def _text(value: str) -> str:
    # A JSON string is a TOML string, but for the one control character that JSON lets stand.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
