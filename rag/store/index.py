"""The index process: it owns the encoders and the point store, and answers questions between writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag.child import Inbox, Request, answer, answer_together
from rag.embedding.embedder import Embedder
from rag.embedding.embedder import Vectors as Matrix
from rag.embedding.kept import KeptVectors
from rag.embedding.scale import Side
from rag.errors import BadRequest, DiskFull
from rag.settings import EmbeddingSettings, StoreSettings
from rag.store.access import Access
from rag.store.encoders import open_encoders
from rag.store.opening import drop_points, open_points
from rag.store.points import GRAPH_FROM_POINTS, Hits
from rag.store.stamp import Stamp, open_folder, read_stamp, write_stamp
from rag.store.writing import Written, company, points_of, shares

URGENT, PATIENT, LAST = 0, 5, 6
# Tokens: among 24 sentences one is often long, and the others were padded to it (300 ms, now 80).
SENTENCES_AT_ONCE = 320
GRAPH_S_PER_POINT = 3e-4  # on two cores, with both vectors, int8; everything is merged each time


def may_build(points: int, scanned: int, quiet_s: float) -> bool:
    """Whether to build the graph of an index with so many points, of which so many are scanned one by one.

    Questions wait meanwhile: for a tenth of the time at most for which nobody has asked.
    """
    return scanned >= max(GRAPH_FROM_POINTS, points // 4) and points * GRAPH_S_PER_POINT <= quiet_s / 10


class IndexService:
    """What the shared child "index" serves; see rag/store/vectors.py for what each method promises."""

    methods = (
        "search",
        "similarity",
        "embed",
        "upsert",
        "settle",
        "delete",
        "regroup",
        "versions",
        "optimize",
        "tidy",
        "drop",
        "info",
    )
    ranks = {
        "search": URGENT,
        "similarity": URGENT,
        "embed": URGENT,
        "info": URGENT,
        # Somebody may have lost a right: that does not wait for an upsert.
        "regroup": URGENT,
        # Behind what waits to be written, so that one flush serves it too. That comes to an end: a run hands
        # in no more than its room until some of it is settled (ingest/indexing.py).
        "settle": LAST,
        "upsert": PATIENT,
        "delete": PATIENT,
        "versions": PATIENT,
        "optimize": PATIENT,
        "tidy": PATIENT,
        "drop": PATIENT,
    }

    def __init__(
        self,
        home: str,
        store: dict[str, Any],
        embedding: dict[str, Any],
        generation: str = "1",
        recipe: str = "",
    ) -> None:
        self._home, self._generation = Path(home), generation
        self._store = StoreSettings.model_validate(store)
        self._inbox: Inbox | None = None
        self._asked = time.monotonic()
        self._encoders = open_encoders(EmbeddingSettings.model_validate(embedding), self._home)
        self._embedder: Embedder = self._encoders.embedder
        self._tokens = self._encoders.tokens
        self._kept = KeptVectors(self._sentences)
        folder = open_folder(self._home, generation)
        self._stamp = self._stamped(folder, recipe)
        self._points = open_points(
            folder,
            self._store,
            self._embedder.dim,
            generation,
            learned=bool(self._encoders.sparse_made_by),
            token_dim=self._tokens.dim if self._tokens else 0,
        )

    def run(self, inbox: Inbox) -> None:
        """Serve until the inbox closes. It is kept, so that an upsert can let questions by."""
        self._inbox = inbox
        # A forward pass and a flush cost little more for many small documents than for one.
        together: dict[str, Callable[[Sequence[dict[str, Any]]], list[Any]]] = {
            "upsert": lambda calls: self._write([Written(**args) for args in calls]),
            "settle": lambda calls: self._settle([args["version"] for args in calls]),
        }
        while not inbox.closed and (request := inbox.get()):
            if request.cancelled:
                continue
            if request.method in together:
                answer_together(together[request.method], company(request, inbox))
            else:
                answer(self, request)

    def upsert(
        self,
        version: int,
        tenant: str,
        collection: str,
        groups: list[str],
        chunks: list[dict[str, Any]],
        labels: Sequence[str] = (),
    ) -> dict[str, Any]:
        return self._write([Written(version, tenant, collection, groups, chunks, labels)])[0]

    def _write(self, all_written: Sequence[Written]) -> list[dict[str, Any]]:
        """Embed and store the chunks of several versions; what each had of it."""
        texts = [text for written in all_written for text in written.texts]
        started = time.perf_counter()
        pause = self._let_questions_by
        vectors = self._embedder.embed_documents(texts, pause=pause)
        terms = self._encoders.sparse.encode_documents(texts, pause=pause)
        tokens = self._tokens.encode_documents(texts, pause=pause) if self._tokens else [None] * len(texts)
        embedded = time.perf_counter()
        points = points_of(all_written, vectors, terms, tokens)
        if points:
            self._points.upsert(points)
        took = (embedded - started, time.perf_counter() - embedded)
        return shares(all_written, self._embedder.count(texts), *took)

    def settle(self, version: int) -> dict[str, Any]:
        return self._settle([version])[0]

    def _settle(self, versions: Sequence[int]) -> list[dict[str, Any]]:
        started = time.perf_counter()
        counts = self._points.settle(versions)
        share_s = (time.perf_counter() - started) / len(versions)
        return [{"points": count, "flush_s": share_s} for count in counts]

    def delete(self, versions: list[int]) -> None:
        if versions:
            self._points.delete(versions)

    def regroup(self, rights: list[tuple[int, list[str], list[str]]]) -> None:
        if rights:
            self._points.regroup({version: (groups, labels) for version, groups, labels in rights})

    def drop(self, generation: str) -> None:
        if generation == self._generation:
            raise BadRequest(f"generation {generation} is the one in use here; another must answer first")
        drop_points(self._home, self._store, generation)

    def versions(self) -> list[tuple[int, int]]:
        return self._points.versions()

    def optimize(self) -> bool:
        return self._points.optimize()

    def tidy(self) -> bool:
        """Build the graph if much is searched without one and nobody has asked for long enough."""
        facts = self._points.info()
        points = facts["points"]
        # That of its words is always indexed; token vectors count as indexed where the dense one is.
        unindexed = (3 if self._tokens else 2) * points - facts["indexed_vectors"]
        scanned = max(0, unindexed) // (2 if self._tokens else 1)
        if not may_build(points, scanned, time.monotonic() - self._asked):
            return False
        try:
            return self._points.optimize()
        except DiskFull:
            return False  # searches go on as before

    def info(self) -> dict[str, Any]:
        return {
            "model": self._embedder.name,
            "sha256": self._encoders.sha256,
            "dim": self._embedder.dim,
            "dtype": self._embedder.dtype,
            "truncation": truncation(self._embedder),
            "generation": self._generation,
            "recipe": self._stamp.recipe,
            "max_tokens": self._embedder.max_tokens,
            "library": self._embedder.library,
            "scale": self._encoders.scales["query"].told,
            "answers_found": self._encoders.scales["query"].found,
            **self._encoders.described(),
            **self._points.info(),
        }

    def search(
        self, text: str, access: dict[str, Any], limit: int, dense: bool = True, sparse: bool = True
    ) -> dict[str, Any]:
        self._asked = time.monotonic()
        started = time.perf_counter()
        reader = access_from(access)
        vector = self._embedder.embed_query(text, tenant=reader.tenant).tolist() if dense else None
        terms = self._encoders.sparse.encode_query(text) if sparse else None
        embedded = time.perf_counter()
        near, matching = self._points.search(vector, terms, access=reader, limit=limit)
        late = self._rescored(text, [*near, *matching], reader)
        return {
            "dense": near,
            "sparse": matching,
            "late": late,
            "terms": self._encoders.sparse.name,
            "embed_s": embedded - started,
            "search_s": time.perf_counter() - embedded,
        }

    def _rescored(self, text: str, hits: Hits, reader: Access) -> Hits:
        """What late interaction makes of the hits of both legs; nothing without a model for it."""
        if not self._tokens or not hits:
            return []
        tokens = self._tokens.encode_query(text)
        if not len(tokens):
            return []
        found = self._points.rescore(tokens, list({key for key, _ in hits}), access=reader)
        return [(key, score / len(tokens)) for key, score in found]

    def similarity(
        self, left: list[str], right: list[str], side: Side = "document", reader: str = "", epoch: str = ""
    ) -> list[list[float]]:
        if not left or not right:
            return [[] for _ in left]
        texts = [*left, *right] if side == "document" else right
        vectors = self._kept.of(texts, reader=reader, epoch=epoch) if reader else self._sentences(texts)
        asked = vectors[: len(left)] if side == "document" else self._questions(left, reader)
        cosines = asked @ vectors[-len(right) :].T
        read: list[list[float]] = self._encoders.scales[side](cosines).tolist()
        return read

    def _questions(self, texts: Sequence[str], reader: str) -> Matrix:
        """The vectors of questions, remembered for that reader."""
        return np.stack([self._embedder.embed_query(text, tenant=reader or None) for text in texts])

    def _sentences(self, texts: Sequence[str]) -> Matrix:
        return self._embedder.embed_documents(texts, batch_tokens=SENTENCES_AT_ONCE)

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
        while self._inbox and (request := self._inbox.get_if(is_urgent)):
            if not request.cancelled:
                answer(self, request)

    def _stamped(self, folder: Path, recipe: str) -> Stamp:
        """The stamp of the index, written when it is new: vectors of two models must not meet in one."""
        embedder, encoders = self._embedder, self._encoders
        ours = Stamp(
            embedder.name,
            encoders.sha256,
            embedder.dim,
            embedder.dtype,
            self._store.quantisation,
            recipe,
            encoders.sparse_made_by,
            encoders.late_made_by,
            embedder.prompts.document,
        )
        theirs = read_stamp(folder)
        if theirs is None:
            write_stamp(folder, ours)
            return ours
        theirs.check(ours, folder)
        return theirs


def is_urgent(request: Request) -> bool:
    return IndexService.ranks.get(request.method, URGENT) == URGENT


def truncation(embedder: Embedder) -> str:
    """What `info` says of vectors that were cut; empty when they are whole."""
    if embedder.dim == embedder.full_dim:
        return ""
    trained = "made for it" if embedder.trained_for_truncation else "not known to be made for it"
    return f"{embedder.dim} of {embedder.full_dim} numbers are kept; the model is {trained}"


def access_from(fields: dict[str, Any]) -> Access:
    """The rights as they crossed the pipe. Raises BadRequest when the tenant is missing."""
    if not fields.get("tenant"):
        raise BadRequest("a search needs a tenant; the principal has none")
    groups: Sequence[str] = fields.get("groups") or ()
    collections: Sequence[str] | None = fields.get("collections")
    return Access(
        tenant=fields["tenant"],
        groups=tuple(groups),
        collections=None if collections is None else tuple(collections),
        hidden=tuple(fields.get("hidden") or ()),
    )
