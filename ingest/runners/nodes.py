"""What lives on a node of a cluster: a child of ours and its scratch space, whatever program placed them.

A reply is {"result"} or {"error"}, as `to_wire` writes it: an exception would have to be unpickled elsewhere.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.runners.local import PARSE_SERVICE
from rag.errors import NotFound, to_wire
from rag.silence import silence
from rag.workers import Worker

INDEX_SERVICE = "rag.store.index:IndexService"


@dataclass(frozen=True, slots=True)
class Asked:
    """A file to read, as the machine that asks sees it."""

    path: str
    size: int
    mtime_ns: int
    name: str
    known_sha256: str
    reader: str = ""

    @classmethod
    def of(cls, path: Path, name: str, known_sha256: str, reader: str = "") -> Asked:
        """Raises NotFound when there is no such file."""
        try:
            facts = path.stat()
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {error.strerror}") from None
        return cls(str(path), facts.st_size, facts.st_mtime_ns, name, known_sha256, reader)

    def is_here(self) -> bool:
        """Whether this machine has the same file at that path: it is shared, or this is the same machine."""
        with contextlib.suppress(OSError):
            facts = Path(self.path).stat()
            return (facts.st_size, facts.st_mtime_ns) == (self.size, self.mtime_ns)
        return False


class ParseNode:
    """Reads documents on the machine where it was placed, one at a time."""

    def __init__(self, config: dict[str, Any], patience_s: float) -> None:
        silence()
        self._model, self._patience_s = Path(config["model"]), patience_s
        self._worker = Worker(PARSE_SERVICE, config, name="parse")
        self._scratch = tempfile.TemporaryDirectory(prefix="permafrost-parse-")

    async def ping(self) -> str:
        """What keeps it from working here; empty when nothing does."""
        if self._model.is_dir():
            return ""
        return f"{self._model} is not on this node: install the same packages, or share the folder"

    async def read(self, asked: Asked, data: bytes | None = None) -> dict[str, Any]:
        """{"result"} as ParseService.read has it, {"error"}, or {"absent"}: then ask again with the bytes."""
        if data is None and not asked.is_here():
            return {"absent": True}
        self._scratch.cleanup()
        self._scratch = tempfile.TemporaryDirectory(prefix="permafrost-parse-")
        path = Path(asked.path)
        if data is not None:
            path = Path(self._scratch.name) / "document"
            path.write_bytes(data)
        return await replied(
            self._worker,
            "read",
            self._patience_s,
            path=str(path),
            name=asked.name,
            known_sha256=asked.known_sha256,
            originals=str(self._parts),
            reader=asked.reader,
        )

    async def part(self, sha256: str) -> bytes:
        """The bytes of a document that was inside the one read last."""
        return (self._parts / sha256[:2] / sha256).read_bytes()

    async def close(self) -> None:
        """End the child and remove the bytes of the document read last."""
        await self._worker.kill()
        self._scratch.cleanup()

    @property
    def _parts(self) -> Path:
        # Never a folder that nodes share: the drafts in it are named by process ids.
        return Path(self._scratch.name) / "parts"


class IndexNode:
    """Embeds on the machine where it was placed and writes to the index from there."""

    def __init__(self, config: dict[str, Any]) -> None:
        silence()
        home = Path(config["home"])
        # Only a stamp and, perhaps, models are looked for in it; the index itself is on a server.
        self._own = None if home.is_dir() else tempfile.TemporaryDirectory(prefix="permafrost-embed-")
        config = config if self._own is None else {**config, "home": self._own.name}
        self._worker = Worker(INDEX_SERVICE, config, name="embed")

    async def ping(self) -> str:
        """Nothing keeps it from trying; what fails then, the first call tells."""
        return ""

    async def call(self, method: str, timeout_s: float | None, args: dict[str, Any]) -> dict[str, Any]:
        """{"result"} or {"error"} of a call to the IndexService."""
        return await replied(self._worker, method, timeout_s, **args)

    async def close(self) -> None:
        """End the child."""
        await self._worker.stop()
        if self._own:
            self._own.cleanup()


async def replied(worker: Worker, method: str, timeout_s: float | None, **args: Any) -> dict[str, Any]:
    """The outcome of a call in a form that travels."""
    try:
        return {"result": await worker.call(method, timeout_s=timeout_s, **args)}
    except Exception as error:
        return {"error": to_wire(error)}
