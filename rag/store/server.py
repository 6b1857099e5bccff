"""The index on a Qdrant server: the same points, filters and verbs as the embedded one."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from rag.embedding.embedder import Vectors
from rag.embedding.sparse import SparseVector
from rag.errors import DiskFull, IndexUnavailable
from rag.store.access import Access, access_filter, tenant_filter, version_filter
from rag.store.points import (
    DENSE,
    KEYWORDS,
    LEARNED,
    OVERSAMPLING,
    SPARSE,
    TOKENS,
    Hits,
    Point,
    Quantisation,
    Rights,
    alike,
)

WRITE_TIMEOUT_S = 60
ALL_VERSIONS = 10_000_000
# A server takes 32 MB in one request; 256 token vectors of 128 numbers are 0.7 MB of JSON.
POINTS_WITH_TOKENS = 16


class ServerPoints:
    """A point store in one collection of a Qdrant server. Searches have a deadline, writes are waited for."""

    def __init__(
        self,
        reader: QdrantClient,
        writer: QdrantClient,
        *,
        collection: str,
        dim: int,
        quantisation: Quantisation = "none",
        learned: bool = False,
        token_dim: int = 0,
    ) -> None:
        self._reader, self._writer, self._collection = reader, writer, collection
        self._quantisation = quantisation
        self._sparse = LEARNED if learned else SPARSE
        with translated("open"):
            if not writer.collection_exists(collection):
                self._create(dim, token_dim)
            self._index_payloads()

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        collection: str,
        dim: int,
        api_key: str = "",
        timeout_s: float = 2.0,
        quantisation: Quantisation = "none",
        learned: bool = False,
        token_dim: int = 0,
    ) -> ServerPoints:
        """A store at that address. Raises IndexUnavailable when nobody answers there."""
        reader, writer = (client(url, api_key, limit) for limit in (math.ceil(timeout_s), WRITE_TIMEOUT_S))
        return cls(
            reader,
            writer,
            collection=collection,
            dim=dim,
            quantisation=quantisation,
            learned=learned,
            token_dim=token_dim,
        )

    def upsert(self, points: Sequence[Point]) -> None:
        written = [
            models.PointStruct(
                id=point.id, vector=point.vectors(self._sparse, sparse_vector), payload=point.payload()
            )
            for point in points
        ]
        at_once = POINTS_WITH_TOKENS if any(point.tokens is not None for point in points) else len(points)
        with translated("write to"):
            for start in range(0, len(written), at_once):
                self._writer.upsert(self._collection, points=written[start : start + at_once], wait=True)

    def settle(self, versions: Sequence[int]) -> list[int]:
        """Waited-for writes are in the server's log; it flushes by itself every few seconds."""
        counted = [models.Filter.model_validate(version_filter([each])) for each in versions]
        with translated("read"):
            return [
                self._writer.count(self._collection, count_filter=each, exact=True).count for each in counted
            ]

    def delete(self, versions: Sequence[int]) -> None:
        doomed = models.Filter.model_validate(version_filter(versions))
        with translated("write to"):
            self._writer.delete(
                self._collection, points_selector=models.FilterSelector(filter=doomed), wait=True
            )

    def regroup(self, rights: Rights) -> None:
        with translated("write to"):
            for payload, versions in alike(rights):
                chosen = models.Filter.model_validate(version_filter(versions))
                self._writer.set_payload(self._collection, payload=payload, points=chosen, wait=True)

    def versions(self) -> list[tuple[int, int]]:
        with translated("read"):
            facet = self._writer.facet(self._collection, key="version", limit=ALL_VERSIONS, exact=True)
        return sorted((int(hit.value), hit.count) for hit in facet.hits)

    def search(
        self, dense: Sequence[float] | None, sparse: SparseVector | None, *, access: Access, limit: int
    ) -> tuple[Hits, Hits]:
        allowed = models.Filter.model_validate(access_filter(access))
        requests: dict[str, models.QueryRequest] = {}
        if dense is not None:
            requests[DENSE] = models.QueryRequest(
                query=list(dense),
                using=DENSE,
                filter=allowed,
                limit=limit,
                params=rescoring(self._quantisation),
            )
        if sparse is not None and sparse.indices:
            statistics = models.Filter.model_validate(tenant_filter(access.tenant))
            requests[SPARSE] = models.QueryRequest(
                query=sparse_vector(sparse.indices, sparse.values),
                using=self._sparse,
                filter=allowed,
                limit=limit,
                params=models.SearchParams(idf=models.IdfCorpusParams(corpus=statistics))
                if self._sparse == SPARSE
                else None,
            )
        if not requests:
            return [], []
        with translated("search"):
            found = self._reader.query_batch_points(self._collection, requests=list(requests.values()))
        legs = {
            leg: [(str(hit.id), hit.score) for hit in reply.points]
            for leg, reply in zip(requests, found, strict=True)
        }
        return legs.get(DENSE, []), legs.get(SPARSE, [])

    def rescore(self, tokens: Vectors, ids: Sequence[str], *, access: Access) -> Hits:
        allowed = models.Filter.model_validate(access_filter(access))
        chosen = models.Filter(must=[models.HasIdCondition(has_id=list(ids)), allowed])
        with translated("search"):
            found = self._reader.query_points(
                self._collection, query=tokens.tolist(), using=TOKENS, query_filter=chosen, limit=len(ids)
            )
        return [(str(hit.id), hit.score) for hit in found.points]

    def optimize(self) -> bool:
        """Nothing to do: the server builds its indexes in the background."""
        return False

    def info(self) -> dict[str, Any]:
        with translated("read"):
            facts = self._reader.get_collection(self._collection)
        return {
            "store": f"Qdrant server, qdrant-client {importlib.metadata.version('qdrant-client')}",
            "points": facts.points_count or 0,
            "indexed_vectors": facts.indexed_vectors_count or 0,
            "segments": facts.segments_count,
            "quantisation": self._quantisation,
        }

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _create(self, dim: int, token_dim: int) -> None:
        small = quantiser(self._quantisation)
        dense = models.VectorParams(
            size=dim,
            distance=models.Distance.COSINE,
            quantization_config=small,
            on_disk=True if small else None,
        )
        modifier = models.Modifier.IDF if self._sparse == SPARSE else None
        self._writer.create_collection(
            self._collection,
            vectors_config={DENSE: dense, TOKENS: token_vectors(token_dim)} if token_dim else {DENSE: dense},
            sparse_vectors_config={self._sparse: models.SparseVectorParams(modifier=modifier)},
        )

    def _index_payloads(self) -> None:
        """Index each field that filters use; a collection made by an earlier release may lack one."""
        kinds: dict[str, models.KeywordIndexParams | models.PayloadSchemaType] = {
            field: models.KeywordIndexParams(
                type=models.KeywordIndexType.KEYWORD, is_tenant=True if field == "tenant" else None
            )
            for field in KEYWORDS
        }
        kinds["version"] = models.PayloadSchemaType.INTEGER
        known = self._writer.get_collection(self._collection).payload_schema
        for field, kind in kinds.items():
            if field not in known:
                self._writer.create_payload_index(self._collection, field, field_schema=kind, wait=True)


def client(url: str, api_key: str, timeout_s: int) -> QdrantClient:
    # The version check would speak to the server before anything was asked of it.
    return QdrantClient(url=url, api_key=api_key or None, timeout=timeout_s, check_compatibility=False)


def delete_collection(url: str, *, collection: str, api_key: str = "") -> None:
    """Remove a whole collection, if it is there. Raises IndexUnavailable when nobody answers at `url`."""
    with closing(client(url, api_key, WRITE_TIMEOUT_S)) as server, translated("write to"):
        server.delete_collection(collection)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns what the client raises into our errors."""
    try:
        yield
    except ApiException as error:
        if "no space left" in str(error).lower():
            raise DiskFull(f"the Qdrant server has no space left: {error}") from None
        raise IndexUnavailable(
            f"cannot {doing} the Qdrant server: {str(error) or type(error).__name__}; "
            "check store.url, and that it runs"
        ) from None


def sparse_vector(indices: list[int], values: list[float]) -> models.SparseVector:
    return models.SparseVector(indices=indices, values=values)


def token_vectors(dim: int) -> models.VectorParams:
    """Vectors of tokens, half precision, on disk; no graph (m=0), for only what was found is compared."""
    return models.VectorParams(
        size=dim,
        distance=models.Distance.COSINE,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        datatype=models.Datatype.FLOAT16,
        hnsw_config=models.HnswConfigDiff(m=0),
        on_disk=True,
    )


def quantiser(quantisation: Quantisation) -> models.ScalarQuantization | models.BinaryQuantization | None:
    """Small vectors in the server's memory; the full ones lie on its disk."""
    if quantisation == "int8":
        int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
        return models.ScalarQuantization(scalar=int8)
    if quantisation == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None


def rescoring(quantisation: Quantisation) -> models.SearchParams | None:
    """Score the best again by their full vectors."""
    if quantisation == "none":
        return None
    return models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING[quantisation])
    )
