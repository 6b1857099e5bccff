"""The models that may run: one entry each in models.lock, with the digest of every file that matters."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rag.errors import ModelError, UnknownModel

LOCK = Path(__file__).with_name("models.lock")


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """The text around a turn. `{role}` stands for the role; `system` is used when a conversation has none."""

    before: str
    after: str
    answer: str
    system: str = ""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a model; `path` is relative to where the model is kept."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One frozen model. `file` is what a loader opens: a file, or for an embedder a folder."""

    name: str
    kind: Literal["generator", "embedder"]
    file: str
    files: tuple[PinnedFile, ...]
    licence: str
    quantisation: str
    source: str
    package: str = ""
    template: ChatTemplate | None = None

    @property
    def sha256(self) -> str:
        """The digest of the weights."""
        return self.files[0].sha256

    @property
    def size(self) -> int:
        """Bytes of all pinned files."""
        return sum(file.size for file in self.files)


def load_lock(path: Path = LOCK) -> dict[str, Entry]:
    """Every entry by its name."""
    tables = tomllib.loads(path.read_text("utf-8"))
    return {name: _entry(name, table) for name, table in tables.items()}


def entry(name: str) -> Entry:
    """The entry of that name. Raises UnknownModel that lists what there is."""
    entries = load_lock()
    if name not in entries:
        raise UnknownModel(f"no model {name!r} in models.lock; have {', '.join(entries)}")
    return entries[name]


def locate(entry: Entry, home: Path | None = None) -> Path:
    """Where the model lies: `models/` of the home, else inside its Python package, which is not imported."""
    if home and (path := home / "models" / entry.file).exists():
        return path
    spec = find_spec(entry.package) if entry.package else None
    if spec and spec.origin and (path := Path(spec.origin).with_name(entry.file)).exists():
        return path
    folder = (home or Path("kb")) / "models"
    raise ModelError(
        f"model {entry.name!r} is not installed: put {entry.file} into {folder}, "
        "or install the extra permafrost-rag[offline]"
    )


def _entry(name: str, table: dict[str, Any]) -> Entry:
    files = tuple(PinnedFile(path, **pinned) for path, pinned in table.pop("files").items())
    template = ChatTemplate(**table.pop("template")) if "template" in table else None
    return Entry(name=name, files=files, template=template, **table)
