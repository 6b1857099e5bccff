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
from ingest.jobs import Embedded, Parsed, Tally
from ingest.sources.source import Source
from rag.errors import IndexUnavailable, NotFound
from rag.store.originals import Originals
from rag.store.queue import UPLOADS, Claim
from rag.store.vectors import CHUNKS_PER_CALL, Vectors, indexed
from rag.store.versions import Cut, Description
from rag.types import Box, Chunk

NAMESPACE = uuid.UUID("0c1f4c0a-3c43-4a39-8a3e-94a1f7f3d0b2")


class Read(Protocol):
    """Reads a file: what isolation.py promises. Bytes of `known_sha256` need not be read again."""

    async def __call__(
        self, path: Path, name: str, known_sha256: str, reader: str = ""
    ) -> dict[str, Any]: ...


# Puts a version into the catalog: its number, or None when the document is not ours any more.
Take = Callable[[Description, Cut], int | None]


class Indexer:
    """Turns a claimed document into a filled version in one index. It publishes nothing."""

    def __init__(
        self,
        vectors: Vectors,
        bytes_of: Callable[[Claim], Path],
        tally: Tally,
        *,
        at_once: int = 1,
    ) -> None:
        self._vectors, self._bytes_of, self._tally = vectors, bytes_of, tally
        # One document is embedded at a time by one embedder; meanwhile the workers read the next ones.
        self._storing = asyncio.Semaphore(at_once)

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

    async def fill(
        self, claim: Claim, parsed: Mapping[str, Any], take: Take
    ) -> tuple[int, list[Chunk]] | None:
        """A version with all its chunks in catalog and index. None when the catalog did not `take` it.

        Raises IndexUnavailable when the index does not hold what was written.
        """
        async with self._storing:
            chunks: list[Chunk] = []

            def cut(version: int) -> list[Chunk]:
                chunks[:] = identified(parsed["chunks"], claim.document_id, version)
                return chunks

            version = await asyncio.to_thread(lambda: take(description(claim, parsed), cut))
            if version is None:
                return None
            await self._store(claim, version, chunks)
            return version, chunks

    async def _store(self, claim: Claim, version: int, chunks: Sequence[Chunk]) -> None:
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
        count = await self._vectors.settle(version)
        if count != len(chunks):
            raise IndexUnavailable(
                f"the index holds {count} of {len(chunks)} chunks of {claim.uri}; ingest again"
            )


class Fetching:
    """Where the bytes of a document are: in our keeping, or at its source."""

    def __init__(self, originals: Originals, sources: Mapping[str, Source]) -> None:
        self._originals, self._sources = originals, sources

    def bytes_of(self, claim: Claim) -> Path:
        """A file with the bytes of a document. Raises NotFound, SourceError or LimitExceeded."""
        if claim.parent is not None or claim.source == UPLOADS:
            return self._kept(claim.fingerprint, claim.uri)
        draft = self._originals.draft()
        try:
            path = self._sources[claim.source].fetch(claim.uri, draft)
            return self._originals.path(self._originals.keep(draft)) if path == draft else path
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
