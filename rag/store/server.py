"""The index on a Qdrant server: the same points, filters and verbs as the embedded one."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from rag.embedding.sparse import SparseVector
from rag.errors import DiskFull, IndexUnavailable
from rag.store.access import Access, access_filter, tenant_filter, version_filter
from rag.store.points import DENSE, KEYWORDS, OVERSAMPLING, SPARSE, Hits, Point, Quantisation, Rights, alike

WRITE_TIMEOUT_S = 60
ALL_VERSIONS = 10_000_000


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
    ) -> None:
        self._reader, self._writer, self._collection = reader, writer, collection
        self._quantisation = quantisation
        with translated("open"):
            if not writer.collection_exists(collection):
                self._create(dim)
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
    ) -> ServerPoints:
        """A store at that address. Raises IndexUnavailable when nobody answers there."""
        reader, writer = (client(url, api_key, limit) for limit in (math.ceil(timeout_s), WRITE_TIMEOUT_S))
        return cls(reader, writer, collection=collection, dim=dim, quantisation=quantisation)

    def upsert(self, points: Sequence[Point]) -> None:
        written = [
            models.PointStruct(id=point.id, vector=vectors_of(point), payload=point.payload())
            for point in points
        ]
        with translated("write to"):
            self._writer.upsert(self._collection, points=written, wait=True)

    def settle(self, version: int) -> int:
        """Waited-for writes are in the server's log; it flushes by itself every few seconds."""
        counted = models.Filter.model_validate(version_filter([version]))
        with translated("read"):
            return self._writer.count(self._collection, count_filter=counted, exact=True).count

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
                query=models.SparseVector(indices=sparse.indices, values=sparse.values),
                using=SPARSE,
                filter=allowed,
                limit=limit,
                params=models.SearchParams(idf=models.IdfCorpusParams(corpus=statistics)),
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

    def _create(self, dim: int) -> None:
        small = quantiser(self._quantisation)
        dense = models.VectorParams(
            size=dim,
            distance=models.Distance.COSINE,
            quantization_config=small,
            on_disk=True if small else None,
        )
        self._writer.create_collection(
            self._collection,
            vectors_config={DENSE: dense},
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
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


def vectors_of(point: Point) -> dict[str, Any]:
    sparse = models.SparseVector(indices=point.sparse.indices, values=point.sparse.values)
    return {DENSE: list(point.dense), SPARSE: sparse} if point.sparse.indices else {DENSE: list(point.dense)}
