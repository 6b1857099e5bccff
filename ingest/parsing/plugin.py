"""Parsers that others write: which documents each reads, how one is loaded, and what its answer must be."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol, get_args

from ingest.parsing.blocks import Block, BlockKind, ParsedDocument, Part
from ingest.parsing.detection import Format
from rag.errors import Damaged, SettingsError
from rag.types import Box

KINDS = get_args(BlockKind)
DOCUMENT = {"title": str, "language": str, "pages": int, "warnings": tuple, "blocks": tuple, "parts": tuple}
BLOCK = {"text": str, "level": int, "page": int, "rows": tuple, "boxes": tuple}
CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*(@\w+)?")
EXTENSION = re.compile(r"\.[a-z0-9]+")


class Parser(Protocol):
    """Reads documents of a kind of your own, or one of ours in your way.

    It is made without arguments in the child of each document, under the limits of every other parser: no
    network, and memory and time as `ingest.memory_bytes` and `ingest.timeout_s` say.
    """

    def parse(self, data: bytes, name: str) -> ParsedDocument:
        """What a document holds; `name` is its file name.

        Raises a ParseError with the reason that is shown beside the quarantined document; whatever else it
        raises quarantines the document too, shown by its type only.
        """
        ...


@dataclass(frozen=True, slots=True)
class Plugins:
    """Which parser reads what: by extension (".dwg"), or by a media type that we detect.

    A parser is named as "package.module:Class", with "@2" behind it where that is its second edition.
    """

    named: Mapping[str, str]

    @classmethod
    def of(cls, wanted: Mapping[str, str | type[Parser]]) -> Plugins:
        """Raises SettingsError for a key that is neither, and for what cannot name a class of a module."""
        named = {}
        for key, parser in wanted.items():
            if not EXTENSION.fullmatch(key) and key not in set(Format):
                kinds = ", ".join(sorted(Format))
                raise SettingsError(f"{key!r} is no extension (as .dwg, in small letters), and not {kinds}")
            named[key] = parser if isinstance(parser, str) else path_of(parser)
            if not CLASS.fullmatch(named[key]):
                raise SettingsError(f"parser {named[key]!r} of {key} is not written package.module:Class")
        return cls(named)

    def reader_of(self, name: str) -> str:
        """The parser of files called so; empty: ours. Another one, or edition, has them read again."""
        return self.named.get(PurePath(name).suffix.lower(), "")

    def by_media_type(self) -> dict[str, str]:
        """Parsers of what is known only once the bytes were looked at."""
        return {key: parser for key, parser in self.named.items() if not key.startswith(".")}


def path_of(parser: type[Parser]) -> str:
    """How a class is found again by another process. Raises SettingsError for one that cannot be."""
    if parser.__module__ == "__main__" or "." in parser.__qualname__:
        raise SettingsError(
            f"parser {parser.__qualname__} is loaded by other processes: put it at the top of a module"
        )
    return f"{parser.__module__}:{parser.__qualname__}"


def load(named: str) -> Parser:
    """A parser, made. Raises SettingsError that says what is wrong with it."""
    module, _, name = named.partition("@")[0].partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
        parser = found() if isinstance(found, type) else None
    except ImportError as error:
        found_out = f"parser {named} cannot be imported: {error}"
        raise SettingsError(f"{found_out}; install it, or set PYTHONPATH") from None
    except Exception as error:  # the code of others: what it raises ends this child, and must be said
        raise SettingsError(f"parser {named} cannot be made: {type(error).__name__}: {error}") from None
    if parser is None:
        raise SettingsError(f"parser {named}: {module} has no class {name}")
    if not callable(getattr(parser, "parse", None)):
        raise SettingsError(f"parser {named} has no method parse(data, name)")
    made: Parser = parser
    return made


def read(named: str, data: bytes, name: str) -> ParsedDocument:
    """What the parser makes of a document. Raises Damaged for an answer that is none, SettingsError."""
    document = load(named).parse(data, name)
    if problem := next(problems(document), ""):
        raise Damaged(f"the parser {named} gave no document: {problem}")
    return document


def problems(document: Any) -> Iterator[str]:
    """What is wrong with the answer of a parser, the worst first; never with its text in it."""
    if not isinstance(document, ParsedDocument):
        yield f"{type(document).__name__}, not ParsedDocument"
        return
    yield from wrong(document, DOCUMENT, "")
    yield from held(document.warnings, str, "warnings")
    yield from held(document.blocks, Block, "blocks")
    yield from held(document.parts, Part, "parts")
    for number, block in enumerate(document.blocks):
        where = f"blocks[{number}]"
        if block.kind not in KINDS:
            yield f"{where}.kind is none of {', '.join(KINDS)}"
        yield from wrong(block, BLOCK, f"{where}.")
        yield from held(block.rows, str, f"{where}.rows")
        yield from held(block.boxes, Box, f"{where}.boxes")
    for number, part in enumerate(document.parts):
        yield from wrong(part, {"name": str, "data": bytes}, f"parts[{number}].")


def wrong(value: object, wanted: Mapping[str, type], where: str) -> Iterator[str]:
    """Fields that are not of their type."""
    for name, kind in wanted.items():
        if not isinstance(getattr(value, name), kind):
            yield f"{where}{name} is no {kind.__name__}"


def held(values: Iterable[object], kind: type, where: str) -> Iterator[str]:
    """Values that are not of the type they must have."""
    for number, value in enumerate(values):
        if not isinstance(value, kind):
            yield f"{where}[{number}] is no {kind.__name__}"
