"""Does the work of a run on this machine: parse workers side by side, each document then stored."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ingest.indexing import Read
from ingest.parsing.confinement import MAX_STEPS, STEP_S
from ingest.parsing.plugin import Plugins
from ingest.runners.runner import Runner
from rag.settings import IngestSettings
from rag.store.originals import FOLDER
from rag.workers import Worker

# The worker enforces the limits of a document, which grow with the pages that it recognises; this is for a
# worker that hangs.
GRACE_S = 30.0 + MAX_STEPS * STEP_S


class LocalRunner(Runner):
    """Reads in children of this process, one core each."""

    def __init__(self, settings: IngestSettings, home: Path, model: Path) -> None:
        self._settings, self._home, self._model = settings, home, model
        self.workers = settings.parse_workers or min(4, len(os.sched_getaffinity(0)))

    @contextlib.asynccontextmanager
    async def reader(self, number: int) -> AsyncIterator[Read]:
        """A parse worker, gone at the end whatever it does then."""
        worker = Worker(PARSE_SERVICE, parse_config(self._settings, self._model), name=f"parse-{number}")
        originals = str(self._home.resolve() / FOLDER)

        async def read(path: Path, name: str, known_sha256: str, reader: str = "") -> dict[str, Any]:
            reply: dict[str, Any] = await worker.call(
                "read",
                timeout_s=patience_s(self._settings),
                path=str(path),
                name=name,
                known_sha256=known_sha256,
                originals=originals,
                reader=reader,
            )
            return reply

        try:
            yield read
        finally:
            await worker.kill()


PARSE_SERVICE = "ingest.parsing.isolation:ParseService"


def parse_config(settings: IngestSettings, model: Path) -> dict[str, Any]:
    """What a parse worker is built with."""
    return {
        "model": str(model),
        "chunk_tokens": settings.chunk_tokens,
        "timeout_s": settings.timeout_s,
        "memory_bytes": settings.memory_bytes,
        "max_file_bytes": settings.max_file_bytes,
        "ocr_languages": settings.ocr_languages if settings.ocr != "off" else None,
        "passwords": list(settings.passwords),
        "parser": settings.parser,
        "plugins": Plugins.of(settings.parsers).by_media_type(),
        # Where the parsers of others are found: as here, also where a script or ingest.toml brought them.
        "search": [os.path.abspath(each) for each in sys.path],
    }


def patience_s(settings: IngestSettings) -> float:
    """How long a parse worker may take for a document: it tries twice and loads a parser in between."""
    return 3 * settings.timeout_s + GRACE_S
