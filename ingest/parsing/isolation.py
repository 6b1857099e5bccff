"""Parses each document in a process of its own that may die; where one parser fails, another tries.

The service is a parent that has the parsers loaded. A child per document inherits them, reads one file,
writes its parts and its chunks and is gone; whatever it does, the parent goes on.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingest.parsing import second
from ingest.parsing.confinement import Confinement
from ingest.parsing.detection import Format
from ingest.parsing.parser import Options, preload
from ingest.parsing.reading import Limits, Reading, Task, leftover
from rag.embedding.tokens import TokenCounter
from rag.errors import Damaged, from_wire, to_wire


class ParseService:
    """What runs in a parse worker: `read` turns a file into chunks.

    `parser`: auto tries ours and then the second one, fast only ours, unstructured the second one wherever
    it reads the format. `passwords` are tried on encrypted documents. `ocr_languages` None: no OCR.
    `plugins`: parsers of others by media type, found on `search` too.
    """

    methods = ("read",)

    def __init__(
        self,
        model: str,
        chunk_tokens: int,
        timeout_s: float,
        memory_bytes: int,
        max_file_bytes: int,
        ocr_languages: str | None,
        passwords: Sequence[str] = (),
        parser: str = "auto",
        plugins: Mapping[str, str] | None = None,
        search: Sequence[str] = (),
    ) -> None:
        measure = TokenCounter(Path(model))
        budget = min(chunk_tokens, measure.budget)
        self._limits = Limits(max_file_bytes, memory_bytes, budget, measure.spans)
        self._plugins = dict(plugins or {})
        sys.path += [each for each in search if each not in sys.path]
        self._confinement = Confinement(timeout_s=timeout_s, memory_bytes=memory_bytes)
        self._passwords, self._ocr_languages, self._parser = tuple(passwords), ocr_languages, parser
        preload()
        gc.collect()
        gc.freeze()  # the children's collector must not touch, and so copy, our pages

    def read(
        self, path: str, name: str = "", known_sha256: str = "", originals: str = "", reader: str = ""
    ) -> dict[str, Any]:
        """Chunks, parts, title, media type, pages, language, sha256, warnings, CPU seconds of a file.

        `name` tells kinds of plain text apart where the path does not. For bytes of `known_sha256` nothing is
        parsed: the answer is {"sha256", "same"}. Parts are written below `originals`, by their digest.
        `reader`: the parser of others that reads it; empty: ours, unless one has its media type.
        Raises a ParseError, NotFound, or SettingsError for such a parser that cannot be loaded.
        """
        options = Options(name or Path(path).name, self._passwords, self._ocr_languages)
        by_second = self._parser == "unstructured"
        task = Task(Path(path), options, known_sha256, originals, by_second, reader, self._plugins)
        result = self._try(task)
        if self._parser == "auto" and result.pop("retry", False):
            other = self._try(dataclasses.replace(task, by_second=True))
            cpu_s = result["cpu_s"] + other["cpu_s"]
            result = {**(result if "error" in other else other), "cpu_s": cpu_s}
        if "error" in result:
            raise from_wire(result["error"])
        return result

    def _try(self, task: Task) -> dict[str, Any]:
        """What a child says of a document; loads the second parser here, once, when it is asked for."""
        result = self._in_child(task)
        if result.get("needs") == "second":
            second.load()
            gc.freeze()
            result = self._in_child(task)
        return result

    def _in_child(self, task: Task) -> dict[str, Any]:
        """The answer of a child; when it died, why, and whether that is worth another try."""
        outcome = self._confinement.run(lambda note: Reading(task, self._limits, note).run())
        if task.originals:
            leftover(task.originals, outcome.pid).unlink(missing_ok=True)
        if outcome.result is not None:
            return {**outcome.result, "cpu_s": outcome.cpu_s}
        assert outcome.error is not None
        # It crashed; a limit would only be met again.
        readable = outcome.note in Format.__members__ and second.reads(Format[outcome.note])
        retry = isinstance(outcome.error, Damaged) and readable and not task.by_second
        return {"error": to_wire(outcome.error), "retry": retry, "cpu_s": outcome.cpu_s}
