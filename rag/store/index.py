"""The index process: it owns the embedder and the point store, and answers questions between writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rag.child import Inbox, answer
from rag.embedding.dense import DenseEmbedder
from rag.embedding.embedder import Embedder
from rag.embedding.sparse import SparseEncoder
from rag.errors import BadRequest, IndexUnavailable
from rag.models.lockfile import entry, locate
from rag.models.verification import digest, verify
from rag.settings import EmbeddingSettings, StoreSettings
from rag.store.access import Access
from rag.store.edge import EdgePoints
from rag.store.points import Point, PointStore
from rag.store.server import ServerPoints

URGENT, PATIENT = 0, 5


class IndexService:
    """What the shared child "index" serves; see rag/store/vectors.py for what each method promises."""

    methods = (
        "search",
        "similarity",
        "embed",
        "upsert",
        "settle",
        "delete",
        "versions",
        "optimize",
        "info",
    )
    ranks = {
        "search": URGENT,
        "similarity": URGENT,
        "embed": URGENT,
        "info": URGENT,
        "settle": PATIENT,
        "upsert": PATIENT,
        "delete": PATIENT,
        "versions": PATIENT,
        "optimize": PATIENT,
    }

    def __init__(self, home: str, store: dict[str, Any], embedding: dict[str, Any]) -> None:
        self._home = Path(home)
        self._inbox: Inbox | None = None
        settings = EmbeddingSettings.model_validate(embedding)
        folder, self._digest = find_model(settings.model, self._home)
        self._embedder: Embedder = DenseEmbedder(
            folder,
            name=settings.model,
            dtype=settings.dtype,
            threads=settings.threads,
            batch_tokens=settings.batch_tokens,
        )
        self._encoder = SparseEncoder()
        self._points = open_points(self._home, StoreSettings.model_validate(store), self._embedder.dim)
        self._check_the_stamp()

    def run(self, inbox: Inbox) -> None:
        """Serve until the inbox closes. It is kept, so that an upsert can let questions by."""
        self._inbox = inbox
        while not inbox.closed and (request := inbox.get()):
            if not request.cancelled:
                answer(self, request)

    def upsert(
        self, version: int, tenant: str, collection: str, groups: list[str], chunks: list[dict[str, Any]]
    ) -> dict[str, Any]:
        texts = [
            f"{chunk['heading']}\n{chunk['text']}" if chunk.get("heading") else chunk["text"]
            for chunk in chunks
        ]
        started = time.perf_counter()
        vectors = self._embedder.embed_documents(texts, pause=self._let_questions_by)
        embedded = time.perf_counter()
        points = [
            Point(
                id=chunk["id"],
                dense=vector.tolist(),
                sparse=self._encoder.encode_document(text),
                tenant=tenant,
                collection=collection,
                groups=tuple(groups),
                version=version,
            )
            for chunk, text, vector in zip(chunks, texts, vectors, strict=True)
        ]
        if points:
            self._points.upsert(points)
        return {
            "points": len(points),
            "tokens": sum(self._embedder.count(texts)),
            "embed_s": embedded - started,
            "write_s": time.perf_counter() - embedded,
        }

    def settle(self, version: int) -> dict[str, int]:
        return {"points": self._points.settle(version)}

    def delete(self, versions: list[int]) -> None:
        if versions:
            self._points.delete(versions)

    def versions(self) -> list[tuple[int, int]]:
        return self._points.versions()

    def optimize(self) -> bool:
        return self._points.optimize()

    def info(self) -> dict[str, Any]:
        return {
            "model": self._embedder.name,
            "sha256": self._digest,
            "dim": self._embedder.dim,
            "dtype": self._embedder.dtype,
            "max_tokens": self._embedder.max_tokens,
            "library": self._embedder.library,
            **self._points.info(),
        }

    def search(
        self, text: str, access: dict[str, Any], limit: int, dense: bool = True, sparse: bool = True
    ) -> dict[str, Any]:
        started = time.perf_counter()
        vector = self._embedder.embed_query(text).tolist() if dense else None
        terms = self._encoder.encode_query(text) if sparse else None
        embedded = time.perf_counter()
        near, matching = self._points.search(vector, terms, access=access_from(access), limit=limit)
        return {
            "dense": near,
            "sparse": matching,
            "embed_s": embedded - started,
            "search_s": time.perf_counter() - embedded,
        }

    def similarity(self, left: list[str], right: list[str]) -> list[list[float]]:
        if not left or not right:
            return [[] for _ in left]
        vectors = self._embedder.embed_documents([*left, *right])
        cosines: list[list[float]] = (vectors[: len(left)] @ vectors[len(left) :].T).tolist()
        return cosines

    def embed(self, texts: list[str], side: str = "document") -> list[list[float]]:
        if side == "query":
            return [self._embedder.embed_query(text).tolist() for text in texts]
        if side != "document":
            raise BadRequest(f"no side {side!r} of an embedder; have query, document")
        vectors: list[list[float]] = self._embedder.embed_documents(texts).tolist()
        return vectors

    def close(self) -> None:
        self._points.close()

    def _let_questions_by(self) -> None:
        """Answer every question that waits; called between the forward passes of an upsert."""
        while self._inbox and (request := self._inbox.get(timeout_s=0)):
            if self.ranks.get(request.method, URGENT) != URGENT:
                self._inbox.put(request)
                return
            if not request.cancelled:
                answer(self, request)

    def _check_the_stamp(self) -> None:
        """Vectors of two models must not meet in one index; the stamp beside it names its model."""
        stamp = self._home / "index" / "model.json"
        ours = {"model": self._embedder.name, "sha256": self._digest, "dim": self._embedder.dim}
        if not stamp.exists():
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(json.dumps(ours), "utf-8")
        theirs = json.loads(stamp.read_text("utf-8"))
        if theirs != ours:
            self.close()
            raise IndexUnavailable(
                f"the index was made with model {theirs.get('model')!r} and embedding.model is "
                f"{ours['model']!r}; set it back, or delete {stamp.parent} and ingest again"
            )


def open_points(home: Path, settings: StoreSettings, dim: int) -> PointStore:
    """The point store that the settings name: a server when they hold a URL, else the embedded one."""
    openers: dict[str, Callable[[], PointStore]] = {
        "edge": lambda: EdgePoints(home / "index" / "edge", dim=dim, min_free_bytes=settings.min_free_bytes),
        "server": lambda: ServerPoints.connect(
            settings.url,
            collection=settings.collection,
            dim=dim,
            api_key=settings.api_key,
            timeout_s=settings.timeout_s,
        ),
    }
    return openers["server" if settings.url else "edge"]()


def find_model(model: str, home: Path) -> tuple[Path, str]:
    """The folder of an embedder and the digest of its weights, verified where models.lock pins it."""
    folder = Path(model)
    if folder.is_absolute() or folder.is_dir():
        weights = folder / "model.safetensors"
        return folder, digest(weights) if weights.exists() else ""
    pinned = entry(model, home)
    folder = locate(pinned, home)
    verify(folder, pinned)
    return folder, pinned.sha256


def access_from(fields: dict[str, Any]) -> Access:
    """The rights as they crossed the pipe. Raises BadRequest when the tenant is missing."""
    if not fields.get("tenant"):
        raise BadRequest("a search needs a tenant; the principal has none")
    groups: Sequence[str] = fields.get("groups") or ()
    return Access(
        tenant=fields["tenant"],
        groups=tuple(groups),
        collection=fields.get("collection"),
        hidden=tuple(fields.get("hidden") or ()),
    )
