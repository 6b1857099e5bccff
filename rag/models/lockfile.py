"""The models that may run: one entry each in models.lock, with the digest of every file that matters.

There are two locks of one form: the packaged one, and that of a home for models which its owner added.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rag.embedding.files import EncoderKind
from rag.errors import ModelError, RagError, UnknownModel

LOCK = Path(__file__).with_name("models.lock")


@dataclass(frozen=True, slots=True)
class Wrap:
    """What stands before and after a text."""

    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """The text around a turn. `{role}` stands for the role; `system` is used when a conversation has none.

    `start` opens every prompt; `roles` renames roles; `turns` gives a role its own text around a turn; `fold`
    puts the system text into the user turn that follows, for models without a system turn. `markers` spell
    turns without being control tokens of the model: they are broken up in text from elsewhere.
    """

    before: str
    after: str
    answer: str
    system: str = ""
    start: str = ""
    roles: Mapping[str, str] = field(default_factory=dict, hash=False)
    turns: Mapping[str, Wrap] = field(default_factory=dict, hash=False)
    fold: Wrap | None = None
    markers: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> ChatTemplate:
        """The template that a TOML table describes."""
        turns = {role: Wrap(**wrap) for role, wrap in table.get("turns", {}).items()}
        fold = Wrap(**table["fold"]) if "fold" in table else None
        markers = tuple(table.get("markers", ()))
        return cls(**{**table, "turns": turns, "fold": fold, "markers": markers})

    def around(self, role: str) -> Wrap:
        """What stands before and after a turn of this role."""
        wrap = self.turns.get(role, Wrap(self.before, self.after))
        return Wrap(wrap.before.replace("{role}", self.roles.get(role, role)), wrap.after)


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a model; `path` is relative to where the model is kept."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One frozen model. `file` is what a loader opens: a file, or for all but generators a folder.

    `languages`: those it was trained for, ISO 639-1; empty: not stated. `query_prompt`, `document_prompt`:
    what stands before the texts of an embedder.
    """

    name: str
    kind: Literal["generator"] | EncoderKind
    file: str
    files: tuple[PinnedFile, ...]
    licence: str
    quantisation: str
    source: str
    package: str = ""
    template: ChatTemplate | None = None
    languages: tuple[str, ...] = ()
    query_prompt: str = ""
    document_prompt: str = ""

    @property
    def sha256(self) -> str:
        """The digest of the weights; empty for a model that another server runs."""
        return self.files[0].sha256 if self.files else ""

    @property
    def size(self) -> int:
        """Bytes of all pinned files."""
        return sum(file.size for file in self.files)


def load_lock(home: Path | None = None) -> dict[str, Entry]:
    """Every entry by its name: the packaged ones, then those of the home."""
    packaged = read_lock(LOCK)
    own = read_lock(own_lock(home)) if home else {}
    if shadowed := sorted(packaged.keys() & own.keys()):
        raise ModelError(
            f"{own_lock(home)} names {shadowed[0]!r} anew, which Permafrost brings along; "
            f"remove it with `rag models rm {shadowed[0]}` and add it under another name"
        )
    return packaged | own


def entry(name: str, home: Path | None = None) -> Entry:
    """The entry of that name. Raises UnknownModel that lists what there is."""
    entries = load_lock(home)
    if name not in entries:
        raise UnknownModel(f"no model {name!r} in models.lock; have {', '.join(entries)}")
    return entries[name]


def own_lock(home: Path | None) -> Path:
    """The lock of the models that the owner of a home added."""
    return (home or Path("kb")) / "models" / "models.lock"


def read_lock(path: Path) -> dict[str, Entry]:
    """The entries of one lock; none when the file is not there. Raises ModelError for a damaged one."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        return {name: _entry(name, table) for name, table in tables.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); mend or remove it") from None


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


def encoder_of(model: str, home: Path | None = None) -> tuple[Path, Entry | None]:
    """The folder that a setting means: one of this machine, or that of an encoder in models.lock, and its
    entry. Raises UnknownModel, and ModelError for a generator."""
    folder = Path(model)
    if folder.is_absolute() or folder.is_dir():
        return folder, None
    pinned = entry(model, home)
    if pinned.kind == "generator":
        raise ModelError(f"model {model!r} is a generator; name one that turns text into vectors or scores")
    return locate(pinned, home), pinned


def languages_of(model: str, home: Path | None = None) -> tuple[str, ...]:
    """The languages that a pinned encoder was trained for; empty: not stated, or the model is not pinned."""
    try:
        return entry(model, home).languages
    except RagError:
        return ()


def folder_of(model: str, home: Path | None = None) -> Path:
    """The folder alone."""
    return encoder_of(model, home)[0]


def _entry(name: str, table: dict[str, Any]) -> Entry:
    files = tuple(PinnedFile(path, **pinned) for path, pinned in table.pop("files").items())
    for path in (table["file"], *(file.path for file in files)):
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError(f"{name}: {path} does not lie below models/")
    template = ChatTemplate.of(table.pop("template")) if "template" in table else None
    languages = tuple(table.pop("languages", ()))
    return Entry(name=name, files=files, template=template, languages=languages, **table)
