"""ingest.toml: which sources there are, when they are read, where their documents belong; your parsers."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ingest.parsing.plugin import Plugins
from ingest.sources.clone import without_password
from ingest.sources.declared import KINDS, Declared
from ingest.sources.overlap import refuse_overlaps
from rag.errors import SettingsError


def load(path: Path) -> tuple[Declared, ...]:
    """The sources that a file declares, in its order.

    Raises SettingsError that names the file, the source, the key, its value and what is allowed.
    """
    content = content_of(path)
    entries = content.get("source", [])
    if not isinstance(entries, list) or not entries:
        raise SettingsError(f"{path} declares no source; write one as [[source]]")
    declared = tuple(read(entry, number, path) for number, entry in enumerate(entries, 1))
    names = [each.name for each in declared]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{path}: two sources are called {name!r}; names must differ")
    try:
        refuse_overlaps(declared)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return declared


def parsers(path: Path) -> dict[str, str]:
    """The parsers of [parsers], by extension or media type. Raises SettingsError."""
    named = content_of(path).get("parsers", {})
    if not isinstance(named, dict) or not all(isinstance(each, str) for each in named.values()):
        raise SettingsError(f'{path}: write [parsers], and in it ".dwg" = "package.module:Class"')
    return dict(Plugins.of(named).named)


def content_of(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    if unknown := set(content) - {"source", "parsers"}:
        what = "a file has [[source]] entries and [parsers] only"
        raise SettingsError(f"{path}: {min(unknown)!r} is not known; {what}")
    return content


def read(entry: dict[str, Any], number: int, path: Path) -> Declared:
    """One entry. Relative paths begin where the file is."""
    where = f"{path}: source {entry.get('name') or f'number {number}'}"
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SettingsError(f"{where}: type is {kind!r}; there are {', '.join(KINDS)}")
    if kind == "folder" and isinstance(paths := entry.get("paths"), list):
        here = path.absolute().parent
        entry = entry | {
            "paths": [str(here / Path(each).expanduser()) for each in paths if isinstance(each, str)]
        }
    try:
        return KINDS[kind].model_validate(entry)
    except ValidationError as error:
        raise SettingsError(f"{where}: {told(error, KINDS[kind])}") from None


def told(error: ValidationError, model: type[Declared]) -> str:
    """The first thing that is wrong, in the words of the file."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        allowed = (
            sorted(model.model_fields) if len(problem["loc"]) == 1 else ["match", "groups", "labels", "owner"]
        )
        return f"there is no key {key}; there are {', '.join(allowed)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if not key:
        return message
    value = problem["input"]
    return f"{key} is {without_password(value) if isinstance(value, str) else value!r}: {message}"


__all__ = ["Declared", "load", "parsers"]
