"""The role of the vector index as the rest of the program sees it, and its form behind the index process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from rag.store.access import Access
from rag.types import BM25, Chunk
from rag.workers import Caller

SEARCH_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 300.0
OPTIMIZE_TIMEOUT_S = 3600.0
CHUNKS_PER_CALL = 64


@dataclass(frozen=True, slots=True)
class Legs:
    """What both legs of a search found, best first: chunk ids with cosines, and with raw scores of terms.

    `terms`: who weighed these, "bm25" or a model. `late`: what late interaction gave the hits of both legs,
    the mean over the question's tokens of the largest cosine in the passage; empty: there is none.
    """

    dense: list[tuple[str, float]]
    sparse: list[tuple[str, float]]
    embed_s: float = 0.0
    search_s: float = 0.0
    terms: str = BM25
    late: list[tuple[str, float]] = field(default_factory=list)


def indexed(chunk: Chunk) -> dict[str, str]:
    """A chunk as the index takes it."""
    return {"id": chunk.id, "text": chunk.text, "heading": " > ".join(chunk.heading_path)}


class Vectors(Protocol):
    """The index. A chunk is {"id", "text", "heading"}; its text is embedded, never kept."""

    async def upsert(
        self,
        version: int,
        *,
        tenant: str,
        collection: str,
        groups: Sequence[str],
        chunks: Sequence[dict[str, Any]],
        labels: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Embed and write at most CHUNKS_PER_CALL; {"points", "tokens", "embed_s", "write_s"}, the seconds
        being its share of what was done for all who waited."""
        ...

    async def regroup(self, rights: Mapping[int, tuple[Sequence[str], Sequence[str]]]) -> None:
        """Replace the groups and labels on all points of these versions, durably."""
        ...

    async def drop(self, generation: int) -> None:
        """Delete the index of another generation. Raises BadRequest for the one that this is."""
        ...

    async def settle(self, version: int) -> dict[str, Any]:
        """Make the writes durable; {"points", "flush_s"}: how many the version has, and its share of what
        that took for all who waited."""
        ...

    async def delete(self, versions: Sequence[int]) -> None:
        """Remove all points of these versions."""
        ...

    async def versions(self) -> dict[int, int]:
        """Every version in the index and its number of points."""
        ...

    async def optimize(self) -> bool:
        """Build the graph where it is due. Searches wait, up to 0.3 ms a point."""
        ...

    async def tidy(self) -> bool:
        """The same if much is searched without it and nobody has asked for long; whether it was built."""
        ...

    async def info(self) -> dict[str, Any]:
        """Model, store, points, library versions."""
        ...

    async def search(
        self, text: str, *, access: Access, limit: int, dense: bool = True, sparse: bool = True
    ) -> Legs:
        """Both legs in one round trip, and their rescoring, each with the access filter inside."""
        ...

    async def similarity(
        self,
        left: Sequence[str],
        right: Sequence[str],
        *,
        side: Literal["query", "document"] = "document",
        reader: str = "",
        epoch: str = "",
    ) -> list[list[float]]:
        """The cosine of every text on the left with every text on the right, as the bundled embedder would
        measure it: limits hold whatever embedder is in use (rag/embedding/scale.py).

        `side`: what the texts on the left are; those on the right are documents. `reader`: for whom the
        vectors are kept, by tenant and rights, until the `epoch` of removals changes; "": they are not.
        """
        ...

    async def embed(
        self, texts: Sequence[str], *, side: Literal["query", "document"] = "document"
    ) -> list[list[float]]:
        """The vector of each text."""
        ...


class IndexVectors:
    """The index behind a caller, which reaches the process that owns it."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def upsert(
        self,
        version: int,
        *,
        tenant: str,
        collection: str,
        groups: Sequence[str],
        chunks: Sequence[dict[str, Any]],
        labels: Sequence[str] = (),
    ) -> dict[str, Any]:
        reply: dict[str, Any] = await self._caller.call(
            "upsert",
            timeout_s=WRITE_TIMEOUT_S,
            version=version,
            tenant=tenant,
            collection=collection,
            groups=list(groups),
            labels=list(labels),
            chunks=list(chunks),
        )
        return reply

    async def regroup(self, rights: Mapping[int, tuple[Sequence[str], Sequence[str]]]) -> None:
        if rights:
            listed = [[version, list(groups), list(labels)] for version, (groups, labels) in rights.items()]
            await self._caller.call("regroup", timeout_s=WRITE_TIMEOUT_S, rights=listed)

    async def drop(self, generation: int) -> None:
        await self._caller.call("drop", timeout_s=WRITE_TIMEOUT_S, generation=str(generation))

    async def settle(self, version: int) -> dict[str, Any]:
        reply: dict[str, Any] = await self._caller.call("settle", timeout_s=WRITE_TIMEOUT_S, version=version)
        return reply

    async def delete(self, versions: Sequence[int]) -> None:
        if versions:
            await self._caller.call("delete", timeout_s=WRITE_TIMEOUT_S, versions=list(versions))

    async def versions(self) -> dict[int, int]:
        reply = await self._caller.call("versions", timeout_s=WRITE_TIMEOUT_S)
        return {int(version): int(count) for version, count in reply}

    async def optimize(self) -> bool:
        return bool(await self._caller.call("optimize", timeout_s=OPTIMIZE_TIMEOUT_S))

    async def tidy(self) -> bool:
        return bool(await self._caller.call("tidy", timeout_s=OPTIMIZE_TIMEOUT_S))

    async def info(self) -> dict[str, Any]:
        reply: dict[str, Any] = await self._caller.call("info", timeout_s=WRITE_TIMEOUT_S)
        return reply

    async def search(
        self, text: str, *, access: Access, limit: int, dense: bool = True, sparse: bool = True
    ) -> Legs:
        reply = await self._caller.call(
            "search",
            timeout_s=SEARCH_TIMEOUT_S,
            text=text,
            access=access.wire(),
            limit=limit,
            dense=dense,
            sparse=sparse,
        )
        near, matching, late = (
            [(str(key), float(score)) for key, score in reply[leg]] for leg in ("dense", "sparse", "late")
        )
        return Legs(near, matching, reply["embed_s"], reply["search_s"], reply["terms"], late)

    async def similarity(
        self,
        left: Sequence[str],
        right: Sequence[str],
        *,
        side: Literal["query", "document"] = "document",
        reader: str = "",
        epoch: str = "",
    ) -> list[list[float]]:
        texts = {"left": list(left), "right": list(right), "side": side}
        reply: list[list[float]] = await self._caller.call(
            "similarity", timeout_s=WRITE_TIMEOUT_S, **texts, reader=reader, epoch=epoch
        )
        return reply

    async def embed(
        self, texts: Sequence[str], *, side: Literal["query", "document"] = "document"
    ) -> list[list[float]]:
        reply: list[list[float]] = await self._caller.call(
            "embed", timeout_s=WRITE_TIMEOUT_S, texts=list(texts), side=side
        )
        return reply
