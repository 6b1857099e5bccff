"""The embedded index: one Qdrant Edge shard in the home, owned by the index process."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import qdrant_edge as edge

from rag.embedding.embedder import Vectors
from rag.embedding.sparse import SparseVector
from rag.errors import DiskFull, IndexUnavailable
from rag.store.access import Access, access_filter, tenant_filter, version_filter
from rag.store.points import (
    DENSE,
    GRAPH_FROM_POINTS,
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

# Opening replays the log, which writes too: on a full disk that is a SIGBUS as well.
BYTES_TO_OPEN = 64_000_000
BYTES_PER_POINT = 8_000
BYTES_PER_TOKEN_NUMBER = 12  # five in the log, two in the segment, two more in the next one
OPEN_AGAIN = "if it is damaged: remove the folder `index` of the home, then `rag ingest` again"
ALL_VERSIONS = 100_000_000
SEARCH_EF = 128


class EdgePoints:
    """A point store in a folder. Searches scan every vector until `optimize` has built a graph."""

    def __init__(
        self,
        folder: Path,
        *,
        dim: int,
        min_free_bytes: int = 0,
        graph_from_points: int = GRAPH_FROM_POINTS,
        quantisation: Quantisation = "none",
        learned: bool = False,
        token_dim: int = 0,
    ) -> None:
        self.folder = folder
        self._min_free_bytes = min_free_bytes
        self._quantisation = quantisation
        self._sparse = LEARNED if learned else SPARSE
        self._config = configure(dim, graph_from_points, quantisation, self._sparse, token_dim)
        self._shard = self._open()

    def upsert(self, points: Sequence[Point]) -> None:
        numbers = sum(point.tokens.size for point in points if point.tokens is not None)
        self._refuse_a_full_disk(BYTES_PER_POINT * len(points) + BYTES_PER_TOKEN_NUMBER * numbers)
        written = [
            edge.Point(point.id, point.vectors(self._sparse, edge.SparseVector), point.payload())
            for point in points
        ]
        with Translated("write to"):
            self._shard.update(edge.UpdateOperation.upsert_points(written))

    def settle(self, versions: Sequence[int]) -> list[int]:
        self._refuse_a_full_disk(0)
        with Translated("write to"):
            # Edge promises durability only for what was flushed.
            self._shard.flush()
            counted = (edge.CountRequest(filter=filter_of(version_filter([each]))) for each in versions)
            return [self._shard.count(each) for each in counted]

    def delete(self, versions: Sequence[int]) -> None:
        self._refuse_a_full_disk(0)
        doomed = filter_of(version_filter(versions))
        with Translated("write to"):
            self._shard.update(edge.UpdateOperation.delete_points_by_filter(doomed))
            self._shard.flush()

    def regroup(self, rights: Rights) -> None:
        self._refuse_a_full_disk(0)
        with Translated("write to"):
            for payload, versions in alike(rights):
                chosen = filter_of(version_filter(versions))
                self._shard.update(edge.UpdateOperation.set_payload_by_filter(chosen, payload))
            self._shard.flush()

    def versions(self) -> list[tuple[int, int]]:
        with Translated("read"):
            facet = self._shard.facet(edge.FacetRequest("version", limit=ALL_VERSIONS, exact=True))
        # A deleted version stays in the facet with a count of 0.
        return sorted((int(hit.value), hit.count) for hit in facet.hits if hit.count)

    def search(
        self, dense: Sequence[float] | None, sparse: SparseVector | None, *, access: Access, limit: int
    ) -> tuple[Hits, Hits]:
        allowed = filter_of(access_filter(access))
        requests: dict[str, edge.QueryRequest] = {}
        if dense is not None:
            query = edge.Query.Nearest(list(dense), using=DENSE)
            params = edge.SearchParams(
                hnsw_ef=max(SEARCH_EF, 2 * limit), quantization=rescoring(self._quantisation)
            )
            requests[DENSE] = edge.QueryRequest(limit, query=query, filter=allowed, params=params)
        if sparse is not None and sparse.indices:
            query = edge.Query.Nearest(edge.SparseVector(sparse.indices, sparse.values), using=self._sparse)
            statistics = edge.IdfParams(corpus=filter_of(tenant_filter(access.tenant)))
            requests[SPARSE] = edge.QueryRequest(
                limit,
                query=query,
                filter=allowed,
                params=edge.SearchParams(idf=statistics) if self._sparse == SPARSE else None,
            )
        if not requests:
            return [], []
        with Translated("search"):
            found = self._shard.query_batch(edge.QueryBatchRequest(list(requests.values())))
        legs = {
            leg: [(str(hit.id), hit.score) for hit in hits] for leg, hits in zip(requests, found, strict=True)
        }
        return legs.get(DENSE, []), legs.get(SPARSE, [])

    def rescore(self, tokens: Vectors, ids: Sequence[str], *, access: Access) -> Hits:
        chosen = filter_of(access_filter(access), among=[edge.HasIdCondition(set(ids))])
        query = edge.Query.Nearest(tokens.tolist(), using=TOKENS)
        with Translated("search"):
            hits = self._shard.query(edge.QueryRequest(len(ids), query=query, filter=chosen))
        return [(str(hit.id), hit.score) for hit in hits]

    def optimize(self) -> bool:
        # A segment is rebuilt beside the old one, with its graph.
        self._refuse_a_full_disk(3 * size_of(self.folder))
        with Translated("optimise"):
            return self._shard.optimize()

    def info(self) -> dict[str, Any]:
        facts = self._shard.info()
        return {
            "store": f"Qdrant Edge {importlib.metadata.version('qdrant-edge-py')}",
            "points": facts.points_count,
            "indexed_vectors": facts.indexed_vectors_count,
            "segments": facts.segments_count,
            "bytes": size_of(self.folder),
            "quantisation": self._quantisation,
        }

    def close(self) -> None:
        self._shard.close()

    def _open(self) -> edge.EdgeShard:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._refuse_a_full_disk(0, least=min(BYTES_TO_OPEN, self._min_free_bytes))
        with Translated("open"):
            if (self.folder / "edge_config.json").exists():
                shard = edge.EdgeShard.load(str(self.folder), self._config)
                self._index_payloads(shard)
                return shard
            # A kill during creation leaves an empty shard that neither loads nor may be created over.
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
            shard = edge.EdgeShard.create(str(self.folder), self._config)
            self._index_payloads(shard)
            return shard

    def _index_payloads(self, shard: edge.EdgeShard) -> None:
        """Index each field that filters use; an index made by an earlier release may lack one."""
        kinds: dict[str, edge.KeywordIndexParams | edge.PayloadSchemaType] = {
            field: edge.KeywordIndexParams(is_tenant=field == "tenant") for field in KEYWORDS
        }
        kinds["version"] = edge.PayloadSchemaType.Integer
        missing = kinds.keys() - shard.info().payload_schema.keys()
        for field in sorted(missing):
            shard.update(edge.UpdateOperation.create_field_index(field, kinds[field]))
        if missing:
            shard.flush()

    def _refuse_a_full_disk(self, coming_bytes: int, *, least: int | None = None) -> None:
        """Edge maps its files: where the disk is full it dies of SIGBUS, which nobody can catch."""
        free = shutil.disk_usage(self.folder.parent).free
        least = self._min_free_bytes if least is None else least
        if free < least + coming_bytes:
            raise DiskFull(
                f"{free / 1e6:,.0f} MB are free under {self.folder.parent}, and "
                f"{(least + coming_bytes) / 1e6:,.0f} MB are needed to write safely; "
                "free some, or lower store.min_free_bytes"
            )


class Translated:
    """Turns what Edge raises, which is the bare class Exception and nothing narrower, into our error."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not Exception:
            return
        hint = "another process holds it" if "WouldBlock" in str(error) else OPEN_AGAIN
        raise IndexUnavailable(f"cannot {self._doing} the index: {error} ({hint})") from None


def configure(
    dim: int, graph_from_points: int, quantisation: Quantisation, sparse: str, token_dim: int
) -> edge.EdgeConfig:
    """Both legs of one shard; a graph is built for segments beyond so many points, below they are scanned.

    Quantised vectors stay in memory, and the full ones are read from disk for the few that are rescored; so
    are token vectors.
    """
    small = quantiser(quantisation)
    dense = edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Cosine,
        quantization_config=small,
        memory=edge.Memory.Cold if small else None,
    )
    modifier = edge.Modifier.Idf if sparse == SPARSE else None
    return edge.EdgeConfig(
        vectors={DENSE: dense, TOKENS: token_vectors(token_dim)} if token_dim else {DENSE: dense},
        sparse_vectors={sparse: edge.EdgeSparseVectorParams(modifier=modifier)},
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=max(1, graph_from_points * dim * 4 // 1024)),
    )


def token_vectors(dim: int) -> edge.EdgeVectorParams:
    """Vectors of tokens, half precision, on disk; no graph (m=0), for only what was found is compared."""
    return edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Cosine,
        multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
        datatype=edge.VectorStorageDatatype.Float16,
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=4, full_scan_threshold=1),
        memory=edge.Memory.Cold,
    )


def quantiser(
    quantisation: Quantisation,
) -> edge.ScalarQuantizationConfig | edge.BinaryQuantizationConfig | None:
    """How segments with a graph keep their small vectors."""
    if quantisation == "int8":
        # The outermost hundredth of the values is clipped, so that one outlier does not widen every step.
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, memory=edge.Memory.Pinned)
    return edge.BinaryQuantizationConfig(memory=edge.Memory.Pinned) if quantisation == "binary" else None


def rescoring(quantisation: Quantisation) -> edge.QuantizationSearchParams | None:
    """Score the best by their full vectors, so that quantisation loses order only beyond the candidates."""
    if quantisation == "none":
        return None
    return edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING[quantisation])


def filter_of(conditions: dict[str, Any], among: Sequence[edge.HasIdCondition] = ()) -> edge.Filter:
    """Edge's own form of a filter in Qdrant's JSON form, which may be narrowed to some points."""
    return edge.Filter(
        must=[*among, *(condition_of(condition) for condition in conditions["must"])],
        must_not=[condition_of(condition) for condition in conditions.get("must_not", [])],
    )


def condition_of(condition: dict[str, Any]) -> edge.FieldCondition:
    match = condition["match"]
    wanted = edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
    return edge.FieldCondition(condition["key"], match=wanted)


def size_of(folder: Path) -> int:
    """Bytes that the files of a folder take on disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
