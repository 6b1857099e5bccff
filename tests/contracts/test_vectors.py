"""What every point store promises, kept by the embedded index and by the client of a Qdrant server.

The server's side runs on qdrant-client's local mode, the nearest real seam on a machine without a Qdrant
server; with RAG_TEST_QDRANT set to an address it runs on that server as well.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from rag.embedding.sparse import SparseEncoder, SparseVector
from rag.errors import BadRequest
from rag.store.access import Access
from rag.store.edge import EdgePoints
from rag.store.points import Point, PointStore, Quantisation
from rag.store.server import ServerPoints

DIM = 16
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode is not recommended:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]


def open_edge(folder: Path, quantisation: Quantisation = "none", **vectors: Any) -> PointStore:
    return EdgePoints(folder / "edge", dim=DIM, graph_from_points=300, quantisation=quantisation, **vectors)


def open_local(folder: Path, quantisation: Quantisation = "none", **vectors: Any) -> PointStore:
    client = QdrantClient(path=str(folder / "local"))
    return ServerPoints(client, client, collection="test", dim=DIM, quantisation=quantisation, **vectors)


def open_server(folder: Path, quantisation: Quantisation = "none", **vectors: Any) -> PointStore:
    url, collection = os.environ["RAG_TEST_QDRANT"], f"test-{folder.name}"
    return ServerPoints.connect(url, collection=collection, dim=DIM, quantisation=quantisation, **vectors)


STORES = [pytest.param(open_edge, id="edge"), pytest.param(open_local, id="local")]
if "RAG_TEST_QDRANT" in os.environ:
    STORES.append(pytest.param(open_server, id="server", marks=pytest.mark.qdrant))


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest) -> Callable[[Path], PointStore]:
    return request.param


@pytest.fixture
def store(opened: Callable[[Path], PointStore], tmp_path: Path) -> Iterator[PointStore]:
    store = opened(tmp_path)
    yield store
    store.close()


def point(number: int, text: str = "the annual leave is thirty days", **changes: object) -> Point:
    vector = np.random.default_rng(number).normal(size=DIM)
    fields = {
        "id": str(uuid.UUID(int=number)),
        "dense": (vector / np.linalg.norm(vector)).tolist(),
        "sparse": SparseEncoder().encode_document(text),
        "tenant": "acme",
        "collection": "handbook",
        "groups": ("everyone",),
        "version": 1,
    }
    return Point(**(fields | changes))  # type: ignore[arg-type]


def found(
    store: PointStore, access: Access, *, like: int = 1, text: str = "annual leave", limit: int = 10
) -> list[set[int]]:
    dense, sparse = store.search(
        point(like).dense, SparseEncoder().encode_query(text), access=access, limit=limit
    )
    return [{uuid.UUID(key).int for key, _ in leg} for leg in (dense, sparse)]


ACME = Access("acme", ("everyone",))


def test_the_same_points_written_twice_are_there_once(store: PointStore) -> None:
    points = [point(number) for number in range(1, 6)]
    store.upsert(points)
    store.upsert(points)
    assert store.settle([1]) == [5]
    assert store.versions() == [(1, 5)]


def test_both_legs_find_a_point_and_score_it(store: PointStore) -> None:
    store.upsert([point(1), point(2, "quarterly sales grew by nine percent"), point(3, "lunch is at noon")])
    dense, sparse = store.search(
        point(1).dense, SparseEncoder().encode_query("annual leave"), access=ACME, limit=10
    )
    assert dense[0] == (point(1).id, pytest.approx(1.0, abs=1e-5))
    assert [key for key, _ in sparse] == [point(1).id]
    assert sparse[0][1] > 0


def test_a_leg_without_a_query_stays_empty(store: PointStore) -> None:
    store.upsert([point(1)])
    assert store.search(None, SparseEncoder().encode_query("leave"), access=ACME, limit=3)[0] == []
    assert store.search(point(1).dense, None, access=ACME, limit=3)[1] == []
    assert store.search(None, SparseEncoder().encode_query("the of"), access=ACME, limit=3) == ([], [])


@pytest.mark.parametrize(
    "forbidden",
    [{"tenant": "rival"}, {"groups": ("board",)}, {"groups": ()}, {"collection": "secret"}, {"version": 7}],
    ids=["tenant", "group", "no group", "collection", "hidden version"],
)
def test_most_points_forbidden_still_leaves_a_full_list(
    store: PointStore, forbidden: dict[str, object]
) -> None:
    store.upsert([point(number, **forbidden) for number in range(100, 400)])
    store.upsert([point(number) for number in range(1, 13)])
    access = Access("acme", ("everyone", "staff"), ("handbook",), (7, 8))
    # The query is a forbidden point itself, so every forbidden one would come first.
    dense, sparse = found(store, access, like=100, limit=10)
    assert len(dense) == len(sparse) == 10
    assert dense | sparse <= set(range(1, 13))


def test_a_canary_never_leaks_between_tenants(store: PointStore) -> None:
    for number, tenant in enumerate(["acme", "rival", "Acme", "acme ", "default", ""], start=1):
        store.upsert([point(number, "canary zx81 annual leave", tenant=tenant)])
    for number, tenant in enumerate(["acme", "rival", "Acme", "acme ", "default"], start=1):
        for groups in (("everyone",), ("everyone", "board")):
            legs = found(store, Access(tenant, groups), like=number, text="canary zx81", limit=50)
            assert legs == [{number}, {number}]


def test_a_score_tells_nothing_about_other_tenants(
    opened: Callable[[Path], PointStore], tmp_path: Path
) -> None:
    if opened is open_local:
        pytest.skip("qdrant-client's local mode counts terms over all points, whatever is asked")
    alone, crowded = opened(tmp_path / "a"), opened(tmp_path / "b")
    scores = []
    for store in (alone, crowded):
        store.upsert([point(1), point(2, "lunch is at noon")])
        if store is crowded:
            store.upsert([point(number, tenant="rival") for number in range(10, 60)])
        scores.append(
            store.search(None, SparseEncoder().encode_query("annual leave"), access=ACME, limit=3)[1]
        )
        store.close()
    assert scores[0] == scores[1]


def test_a_reader_without_groups_finds_nothing(store: PointStore) -> None:
    store.upsert([point(1), point(2, groups=())])
    assert found(store, Access("acme", ())) == [set(), set()]


def test_a_search_without_a_tenant_is_refused(store: PointStore) -> None:
    with pytest.raises(BadRequest, match="needs a tenant"):
        found(store, Access("", ("everyone",)))


def test_deleting_a_version_leaves_the_others(store: PointStore) -> None:
    store.upsert([point(number, version=number % 3) for number in range(1, 10)])
    store.delete([0, 2, 99])
    assert store.versions() == [(1, 3)]
    assert found(store, ACME)[0] == {1, 4, 7}


def test_settled_points_are_there_after_reopening(
    opened: Callable[[Path], PointStore], tmp_path: Path
) -> None:
    store = opened(tmp_path)
    store.upsert([point(number) for number in range(1, 4)])
    assert store.settle([1]) == [3]
    store.close()
    again = opened(tmp_path)
    assert again.versions() == [(1, 3)]
    assert found(again, ACME) == [{1, 2, 3}, {1, 2, 3}]
    again.close()


def test_info_counts_points(store: PointStore) -> None:
    store.upsert([point(1), point(2)])
    assert store.info()["points"] == 2
    assert "Qdrant" in store.info()["store"]


def test_new_rights_count_at_once_and_outlive_a_reopening(
    opened: Callable[[Path], PointStore], tmp_path: Path
) -> None:
    store = opened(tmp_path)
    store.upsert([point(number, version=number % 3) for number in range(1, 10)])
    store.regroup({1: (["board"], ["secret"]), 2: (["board", "staff"], []), 99: (["nobody"], [])})
    assert found(store, ACME) == [{3, 6, 9}, {3, 6, 9}]
    assert found(store, Access("acme", ("board",)))[0] == {1, 2, 4, 5, 7, 8}
    store.close()
    again = opened(tmp_path)
    assert found(again, ACME)[0] == {3, 6, 9}
    assert found(again, Access("acme", ("staff",)))[0] == {2, 5, 8}
    assert again.versions() == [(0, 3), (1, 3), (2, 3)]
    again.close()


def test_new_rights_leave_the_vectors_alone(store: PointStore) -> None:
    store.upsert([point(number) for number in range(1, 6)])
    before = store.search(point(2).dense, None, access=ACME, limit=5)
    store.regroup({1: (["everyone"], ["public"])})
    assert store.search(point(2).dense, None, access=ACME, limit=5) == before


@pytest.mark.parametrize(("quantisation", "least"), [("none", 0.99), ("int8", 0.98), ("binary", 0.3)])
def test_small_vectors_find_and_full_ones_score(
    opened: Callable[..., PointStore], tmp_path: Path, quantisation: Quantisation, least: float
) -> None:
    """Binary keeps 16 bits of these vectors, so it misses many; what it finds has its exact score."""
    store = opened(tmp_path, quantisation)
    points = [point(number) for number in range(1, 801)]
    for start in range(0, len(points), 400):
        store.upsert(points[start : start + 400])
    store.optimize()
    matrix, right = np.array([each.dense for each in points]), 0
    for query in (point(number) for number in range(5001, 5021)):
        cosines = matrix @ np.array(query.dense)
        best = {points[index].id for index in np.argsort(-cosines)[:10]}
        dense, _ = store.search(query.dense, None, access=ACME, limit=10)
        right += len(best & {key for key, _ in dense})
        exact = {key: cosines[uuid.UUID(key).int - 1] for key, _ in dense}
        assert dict(dense) == pytest.approx(exact, abs=1e-5)
    assert right / 200 >= least
    assert store.info()["quantisation"] == quantisation
    store.close()


def test_learned_weights_are_not_multiplied_by_idf(opened: Callable[..., PointStore], tmp_path: Path) -> None:
    store = opened(tmp_path, learned=True)
    rare, common = SparseVector([7, 9], [0.5, 2.0]), SparseVector([9], [1.5])
    store.upsert([point(1, sparse=rare), *(point(number, sparse=common) for number in range(2, 12))])
    _, hits = store.search(None, SparseVector([7, 9], [3.0, 1.0]), access=ACME, limit=20)
    assert [score for _, score in hits] == pytest.approx([3.5, *[1.5] * 10], abs=1e-5)
    assert hits[0][0] == point(1).id
    store.close()


def test_token_vectors_score_what_was_found_again_for_those_who_may_read_it(
    opened: Callable[..., PointStore], tmp_path: Path
) -> None:
    """To the number of plain numpy, before and after the graph of the dense leg is built."""
    store, rng = opened(tmp_path, token_dim=24), np.random.default_rng(3)
    read = {number: unit(rng.normal(size=(1 + number % 7, 24))) for number in range(1, 41)}
    store.upsert([point(number, tokens=tokens) for number, tokens in read.items()])
    store.upsert([point(50), point(51, tokens=read[1], tenant="other"), point(52, tokens=read[1], version=9)])
    store.upsert([point(53, tokens=read[1], groups=("board",))])
    asked, among = unit(rng.normal(size=(5, 24))), [*range(1, 31), 50, 51, 52, 53]
    reader = Access("acme", ("everyone",), hidden=(9,))
    expected = {number: float((asked @ read[number].T).max(axis=1).sum()) for number in range(1, 31)}
    for _ in range(2):
        hits = store.rescore(asked, [point(number).id for number in among], access=reader)
        assert {uuid.UUID(key).int: score for key, score in hits} == pytest.approx(expected, abs=5e-3)
        assert hits == sorted(hits, key=lambda hit: -hit[1])
        store.optimize()
    store.close()


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
