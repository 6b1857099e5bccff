"""What a parse child does with its document: bytes to chunks and parts, or a reason why not."""

from __future__ import annotations

import dataclasses
import hashlib
import mimetypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.chunking import chunk
from ingest.parsing import parser, plugin, second
from ingest.parsing.blocks import Block, ParsedDocument, Part
from ingest.parsing.confinement import PROGRESS
from ingest.parsing.detection import Format
from ingest.parsing.parser import Options
from ingest.ruler import Spans
from rag.errors import (
    Damaged,
    LimitExceeded,
    NoText,
    NotFound,
    ParseError,
    SettingsError,
    SourceError,
    to_wire,
)
from rag.store.originals import no_room

# Formats in which another parser may find text where ours found none; a scan stays a scan.
OTHERS_MAY_FIND_TEXT = {Format.DOCX, Format.PPTX, Format.ODT, Format.EPUB, Format.HTML}


@dataclass(frozen=True, slots=True)
class Task:
    """One document to read. `originals`: the folder its parts go to; empty: they are only named.

    `reader`: the parser of others that reads it; empty: ours, unless `plugins` has one for its media type.
    """

    path: Path
    options: Options
    known_sha256: str
    originals: str
    by_second: bool
    reader: str = ""
    plugins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read, what the address space is bounded to, and what a chunk may hold."""

    max_file_bytes: int
    memory_bytes: int
    chunk_tokens: int
    spans: Spans


class Reading:
    """The reading of one document. `note` is told its format, should the process die of it."""

    def __init__(self, task: Task, limits: Limits, note: Callable[[str], None]) -> None:
        self._task, self._limits, self._note = task, limits, note
        self._kind: Format | None = None  # of a document that our parsers read
        self._reader = task.reader

    def run(self) -> dict[str, Any]:
        """What `ParseService.read` answers, or {"error", "retry"}, or what must be loaded before."""
        try:
            return self._read()
        except MemoryError:
            megabytes = self._limits.memory_bytes >> 20
            problem: ParseError = LimitExceeded(f"reading it took more than {megabytes} MiB of memory")
        except RecursionError:
            problem = Damaged("it is nested too deeply")
        except (NotFound, SettingsError, SourceError) as error:
            return {"error": to_wire(error)}
        except ParseError as error:
            problem = error
        except OSError as error:
            # For the parts of this document, which is as good as any other.
            if full := no_room(error, self._task.originals):
                return {"error": to_wire(full)}
            problem = self._failed(error)
        except Exception as error:  # the worker loop of one document: a parser's bug is its problem alone
            problem = self._failed(error)
        return {"error": to_wire(problem), "retry": self._is_worth_another(problem)}

    def _failed(self, error: Exception) -> Damaged:
        name = self._kind.name if self._kind else self._reader or "first"
        return Damaged(f"the {name} parser failed: {type(error).__name__}")

    def _read(self) -> dict[str, Any]:
        data = self._bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest == self._task.known_sha256:
            return {"sha256": digest, "same": True}
        options = dataclasses.replace(self._task.options, progress=lambda: self._note(PROGRESS))
        if self._reader:
            return {"sha256": digest, "media_type": guessed(options.name), **self._foreign(data)}
        kind, data = parser.opened(data, options)
        self._reader = self._task.plugins.get(kind, "")
        if self._reader:
            return {"sha256": digest, "media_type": kind.value, **self._foreign(data)}
        self._kind = kind
        self._note(kind.name)
        if not self._task.by_second or not second.reads(kind):
            document = parser.read(kind, data, options)
        elif second.needs_loading(kind):
            return {"needs": "second"}
        else:
            document = second.read(kind, data, options)
        return {"sha256": digest, "media_type": kind.value, **self._answer(document)}

    def _foreign(self, data: bytes) -> dict[str, Any]:
        """What the parser of others makes of it; where it fails, no other one tries."""
        self._note(self._reader)
        return self._answer(parser.finished(plugin.read(self._reader, data, self._task.options.name)))

    def _bytes(self) -> bytes:
        try:
            size = self._task.path.stat().st_size
            if size > self._limits.max_file_bytes:
                raise LimitExceeded(f"{size} bytes, the limit is {self._limits.max_file_bytes}")
            return self._task.path.read_bytes()
        except FileNotFoundError:
            raise NotFound("the file is gone") from None
        except OSError as error:
            # A disk or share that fails says nothing about the document.
            raise SourceError(f"the file cannot be read: {error.strerror}") from None

    def _answer(self, document: ParsedDocument) -> dict[str, Any]:
        blocks, parts = document.blocks, [kept(part, self._task.originals) for part in document.parts]
        if not self._task.originals and not blocks:
            blocks = (Block("list", "\n".join(f"- {part.name}" for part in document.parts)),)
        budget, language = self._limits.chunk_tokens, document.language
        chunks = chunk(blocks, self._limits.spans, budget=budget, language=language)
        return {
            "title": document.title,
            "pages": document.pages,
            "language": language,
            "warnings": list(document.warnings),
            "chunks": [dataclasses.asdict(each) for each in chunks],
            "parts": parts if self._task.originals else [],
        }

    def _is_worth_another(self, problem: ParseError) -> bool:
        """Whether the second parser may do better; never where only hidden text was found."""
        if self._kind is None or self._task.by_second or not second.reads(self._kind):
            return False
        if isinstance(problem, NoText):
            return self._kind in OTHERS_MAY_FIND_TEXT and "hidden" not in str(problem)
        return isinstance(problem, Damaged)


def guessed(name: str) -> str:
    """The media type that a name promises."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def kept(part: Part, originals: str) -> dict[str, Any]:
    """The name, digest and size of a part, its bytes written once under the digest."""
    digest = hashlib.sha256(part.data).hexdigest()
    if originals:
        place = Path(originals) / digest[:2] / digest
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished = leftover(originals, os.getpid())
            with unfinished.open("wb") as file:
                file.write(part.data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(place)
    return {"name": part.name, "sha256": digest, "size": len(part.data)}


def leftover(originals: str, pid: int) -> Path:
    """Where a child writes before it renames; what lies there after its end is unfinished."""
    return Path(originals) / f".part-{pid}"
