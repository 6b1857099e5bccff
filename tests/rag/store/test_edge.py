"""What only the embedded index has to cope with: the disk, a second owner, growth."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge

from rag.embedding.sparse import SparseEncoder
from rag.errors import DiskFull, IndexUnavailable
from rag.store.access import Access
from rag.store.edge import EdgePoints
from rag.store.points import Point

DIM = 16
MORE_THAN_ANY_DISK = 10**18


def points(count: int, version: int = 1) -> list[Point]:
    vectors = np.random.default_rng(version).normal(size=(count, DIM))
    terms = SparseEncoder().encode_document("a secret sentence about leave")
    return [
        Point(str(uuid.UUID(int=version * 10**6 + i)), vectors[i].tolist(), terms, "t", "c", ("g",), version)
        for i in range(count)
    ]


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = EdgePoints(tmp_path / "edge", dim=DIM)
    store.upsert(points(3))
    store.settle([1])
    store._min_free_bytes = MORE_THAN_ANY_DISK
    for write in (
        lambda: store.upsert(points(1, 2)),
        lambda: store.settle([1]),
        lambda: store.delete([1]),
        store.optimize,
    ):
        with pytest.raises(DiskFull, match="min_free_bytes"):
            write()
    # Reading goes on.
    assert store.versions() == [(1, 3)]
    store.close()


def test_a_second_owner_is_told_that_another_process_holds_the_index(tmp_path: Path) -> None:
    store = EdgePoints(tmp_path / "edge", dim=DIM)
    with pytest.raises(IndexUnavailable, match="another process holds it"):
        EdgePoints(tmp_path / "edge", dim=DIM)
    store.close()


def test_an_index_of_another_dimension_is_refused(tmp_path: Path) -> None:
    EdgePoints(tmp_path / "edge", dim=DIM).close()
    with pytest.raises(IndexUnavailable, match="cannot open the index"):
        EdgePoints(tmp_path / "edge", dim=DIM * 2)


def test_what_a_kill_during_creation_left_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "edge" / "wal").mkdir(parents=True)
    store = EdgePoints(tmp_path / "edge", dim=DIM)
    store.upsert(points(1))
    assert store.settle([1]) == [1]
    store.close()


def test_a_graph_is_built_only_when_there_are_many_points(tmp_path: Path) -> None:
    store = EdgePoints(tmp_path / "edge", dim=DIM, graph_from_points=1000)
    store.upsert(points(200))
    assert not store.optimize()
    store.upsert(points(3000, version=2))
    assert scanned(store) == 3200
    assert store.optimize()
    assert scanned(store) < 100
    query = points(3000, version=2)[7]
    dense, sparse = store.search(query.dense, query.sparse, access=Access("t", ("g",)), limit=10)
    assert dense[0][0] == query.id
    assert len(dense) == len(sparse) == 10
    store.close()


def scanned(store: EdgePoints) -> int:
    """How many points have no graph; of their two vectors the one of words is always indexed."""
    facts = store.info()
    return int(2 * facts["points"] - facts["indexed_vectors"])


def test_no_text_reaches_the_disk(tmp_path: Path) -> None:
    store = EdgePoints(tmp_path / "edge", dim=DIM)
    store.upsert(points(5))
    store.settle([1])
    store.close()
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_an_index_of_an_earlier_release_gets_the_index_that_it_lacks(tmp_path: Path) -> None:
    store = EdgePoints(tmp_path / "edge", dim=DIM)
    store.upsert(points(3))
    store._shard.update(edge.UpdateOperation.delete_field_index("labels"))
    store.settle([1])
    store.close()
    again = EdgePoints(tmp_path / "edge", dim=DIM)
    assert "labels" in again._shard.info().payload_schema
    assert again.versions() == [(1, 3)]
    again.close()


def test_a_full_disk_refuses_new_rights_too(tmp_path: Path) -> None:
    store = EdgePoints(tmp_path / "edge", dim=DIM)
    store._min_free_bytes = MORE_THAN_ANY_DISK
    with pytest.raises(DiskFull, match="min_free_bytes"):
        store.regroup({1: (["g"], [])})
    store.close()
