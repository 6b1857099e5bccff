"""One document on its way: its bytes had, read in a child, cut into chunks, stored in an index, verified."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ingest.duplicates import bands, signature
from ingest.jobs import Embedded, Parsed, Settled, Tally
from ingest.sources.source import Source
from rag.errors import IndexUnavailable, NotFound
from rag.store.originals import Originals, no_room
from rag.store.queue import Claim
from rag.store.vectors import CHUNKS_PER_CALL, Vectors, indexed
from rag.store.versions import Cut, Description
from rag.types import Box, Chunk

NAMESPACE = uuid.UUID("0c1f4c0a-3c43-4a39-8a3e-94a1f7f3d0b2")


class Read(Protocol):
    """Reads a file: what isolation.py promises. Bytes of `known_sha256` need not be read again."""

    async def __call__(
        self, path: Path, name: str, known_sha256: str, reader: str = ""
    ) -> dict[str, Any]: ...


# Chunks of documents that are stored side by side: small ones share passes of the model and flushes.
CHUNKS_AT_ONCE = 2 * CHUNKS_PER_CALL


class Room:
    """Lets documents be stored side by side while their chunks fit. First come, first served."""

    def __init__(self, chunks: int) -> None:
        self._size = self._free = chunks
        self._door, self._changed = asyncio.Lock(), asyncio.Condition()

    async def enter(self, chunks: int, *, alone: bool = False) -> int:
        """Wait for room; how much was taken. What is larger than all of it, and who asks to be `alone`, has
        it all."""
        wanted = self._size if alone else min(max(1, chunks), self._size)
        async with self._door, self._changed:
            await self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        return wanted

    async def leave(self, taken: int) -> None:
        async with self._changed:
            self._free += taken
            self._changed.notify_all()


# Puts a version into the catalog: its number, or None when the document is not ours any more.
Take = Callable[[Description, Cut], int | None]


class Indexer:
    """Turns a claimed document into a filled version in one index. It publishes nothing."""

    def __init__(
        self,
        vectors: Vectors,
        bytes_of: Callable[[Claim], Path],
        tally: Tally,
        is_filling: Callable[[int], bool],
        *,
        at_once: int = 1,
    ) -> None:
        """`is_filling`: whether a version is still wanted; it may be retired while it is filled.

        `at_once`: how many embedders there are.
        """
        self._vectors, self._bytes_of, self._tally = vectors, bytes_of, tally
        self._is_filling = is_filling
        self._room = Room(at_once * CHUNKS_AT_ONCE)

    async def read(self, claim: Claim, read: Read) -> dict[str, Any]:
        """What is in a document. Raises a ParseError, NotFound, or SourceError."""
        started = time.monotonic()
        path = await asyncio.to_thread(self._bytes_of, claim)
        fetched = time.monotonic()
        name = claim.name or Path(claim.uri).name
        parsed = await read(path, name, claim.known_sha256, claim.reader)
        self._tally(
            Parsed(
                claim.uri,
                len(parsed.get("chunks", ())),
                size_bytes=claim.size_bytes,
                fetch_s=fetched - started,
                parse_s=time.monotonic() - fetched,
                cpu_s=parsed.get("cpu_s", 0.0),
                pages=parsed.get("pages", 0),
            )
        )
        return parsed

    async def admit(self, claim: Claim, parsed: Mapping[str, Any]) -> int:
        """Wait until a document may be stored; what it took of the room, for `discharge`.

        One that has failed before goes alone, so that it takes no other with it.
        """
        return await self._room.enter(len(parsed.get("chunks", ())), alone=claim.attempts > 0)

    async def discharge(self, taken: int) -> None:
        """A document that was admitted is stored, or never will be."""
        await self._room.leave(taken)

    async def fill(
        self, claim: Claim, parsed: Mapping[str, Any], take: Take
    ) -> tuple[int, list[Chunk]] | None:
        """A version with all its chunks in catalog and index. None when nobody wants it any more.

        Raises IndexUnavailable when the index does not hold what was written.
        """
        chunks: list[Chunk] = []

        def cut(version: int) -> list[Chunk]:
            chunks[:] = identified(parsed["chunks"], claim.document_id, version)
            return chunks

        version = await asyncio.to_thread(lambda: take(description(claim, parsed), cut))
        if version is None:
            return None
        await self._write(claim, version, chunks)
        return (version, chunks) if await self._is_settled(claim, version, len(chunks)) else None

    async def knock(self) -> None:
        """Raises WorkerUnavailable, IndexUnavailable when the index does not answer."""
        await self._vectors.info()

    async def forsake(self, version: int) -> None:
        """Delete what was written of a version that was retired meanwhile: others did so before."""
        await self._vectors.delete([version])

    async def _write(self, claim: Claim, version: int, chunks: Sequence[Chunk]) -> None:
        for start in range(0, len(chunks), CHUNKS_PER_CALL):
            batch = chunks[start : start + CHUNKS_PER_CALL]
            done = await self._vectors.upsert(
                version,
                tenant=claim.tenant,
                collection=claim.collection,
                groups=claim.groups,
                labels=claim.labels,
                chunks=[indexed(each) for each in batch],
            )
            self._tally(Embedded(claim.uri, len(batch), done["tokens"], done["embed_s"], done["write_s"]))

    async def _is_settled(self, claim: Claim, version: int, wanted: int) -> bool:
        """Whether the index holds all, durably; False when the version was retired meanwhile."""
        done = await self._vectors.settle(version)
        self._tally(Settled(claim.uri, done["flush_s"]))
        count = done["points"]
        if count == wanted:
            return True
        if await asyncio.to_thread(self._is_filling, version):
            raise IndexUnavailable(f"the index holds {count} of {wanted} chunks of {claim.uri}; ingest again")
        await self.forsake(version)
        return False


class Fetching:
    """Where the bytes of a document are: in our keeping, or at its source."""

    def __init__(self, originals: Originals, sources: Mapping[str, Source]) -> None:
        self._originals, self._sources = originals, sources

    def bytes_of(self, claim: Claim) -> Path:
        """A file with the bytes of a document. Raises what `Source.fetch` raises, and DiskFull."""
        if claim.is_kept:
            return self._kept(claim.fingerprint, claim.uri)
        draft = self._originals.draft()
        try:
            path = self._sources[claim.source].fetch(claim.uri, draft)
            return self._originals.path(self._originals.keep(draft)) if path == draft else path
        except OSError as error:
            if full := no_room(error, self._originals.folder):
                raise full from None
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()

    def _kept(self, sha256: str, uri: str) -> Path:
        path = self._originals.path(sha256)
        if not path.exists():
            raise NotFound(f"the bytes of {uri} are not in {self._originals.folder} any more")
        return path


def description(claim: Claim, parsed: Mapping[str, Any]) -> Description:
    """What the catalog keeps of a document besides its chunks."""
    signed = signature("\n".join(chunk["text"] for chunk in parsed["chunks"]))
    return Description(
        title=title_of(parsed["title"], claim.name or claim.uri),
        media_type=parsed["media_type"],
        pages=parsed["pages"],
        language=parsed.get("language", ""),
        warnings=tuple(parsed.get("warnings", ())),
        signature=signed,
        keys=tuple(bands(signed)),
    )


def identified(drafts: Sequence[Mapping[str, Any]], document_id: str, version: int) -> list[Chunk]:
    """Chunks with ids that follow from document, version, place and text."""
    chunks = []
    for draft in drafts:
        key = "\0".join((document_id, str(version), str(draft["ordinal"]), draft["text"]))
        fields = {
            **draft,
            "heading_path": tuple(draft["heading_path"]),
            "pages": tuple(draft["pages"]),
            "boxes": tuple(Box(**box) for box in draft["boxes"]),
        }
        chunks.append(replace(Chunk(**fields), id=str(uuid.uuid5(NAMESPACE, key))))
    return chunks


def title_of(title: str, name: str) -> str:
    """The document's own title if it is one, else its file name."""
    left_by_a_program = (
        title.lower().startswith(("microsoft ", "untitled", "document")) or "." in title[-5:-2]
    )
    return title if len(title) > 3 and not left_by_a_program else Path(name).name


__all__ = ["Fetching", "Indexer", "Read", "identified", "title_of"]
