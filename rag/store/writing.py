"""What the index process writes: the chunks of one document, or of several that wait at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rag.child import Inbox, Request
from rag.embedding.embedder import Vectors as Matrix
from rag.embedding.sparse import SparseVector
from rag.store.points import Point
from rag.store.vectors import CHUNKS_PER_CALL


@dataclass(frozen=True, slots=True)
class Written:
    """Chunks of one version, with what their points carry."""

    version: int
    tenant: str
    collection: str
    groups: Sequence[str]
    chunks: Sequence[dict[str, Any]]
    labels: Sequence[str] = ()

    @property
    def texts(self) -> list[str]:
        """What is encoded of each chunk: its text below its heading."""
        return [
            f"{chunk['heading']}\n{chunk['text']}" if chunk.get("heading") else str(chunk["text"])
            for chunk in self.chunks
        ]


def points_of(
    all_written: Sequence[Written],
    vectors: Matrix,
    terms: Iterable[SparseVector],
    tokens: Iterable[Matrix | None],
) -> list[Point]:
    """The points of several documents, from what was encoded of all their chunks in order."""
    owners = [(written, chunk) for written in all_written for chunk in written.chunks]
    return [
        Point(
            id=chunk["id"],
            dense=vector.tolist(),
            sparse=weights,
            tenant=written.tenant,
            collection=written.collection,
            groups=tuple(written.groups),
            version=written.version,
            labels=tuple(written.labels),
            tokens=of_tokens,
        )
        for (written, chunk), vector, weights, of_tokens in zip(owners, vectors, terms, tokens, strict=True)
    ]


def shares(
    all_written: Sequence[Written], tokens: Sequence[int], embed_s: float, write_s: float
) -> list[dict[str, Any]]:
    """What each of several documents had of a write: the seconds by its tokens."""
    total, start, found = sum(tokens), 0, []
    for written in all_written:
        end = start + len(written.chunks)
        own = sum(tokens[start:end])
        part = own / total if total else 1 / len(all_written)
        found.append(
            {"points": end - start, "tokens": own, "embed_s": embed_s * part, "write_s": write_s * part}
        )
        start = end
    return found


def company(request: Request, inbox: Inbox) -> list[Request]:
    """A call and those like it that wait right behind it, until that is a call's full measure of chunks."""
    found, size = [request], size_of(request)
    while size < CHUNKS_PER_CALL and (other := inbox.get_if(lambda each: each.method == request.method)):
        if not other.cancelled:
            found.append(other)
            size += size_of(other)
    return found


def size_of(request: Request) -> int:
    return len(request.args.get("chunks", (None,)))
