"""What every point store promises, kept by the embedded index and by the client of a Qdrant server.

The server's side runs on qdrant-client's local mode, the nearest real seam on a machine without a Qdrant
server; with RAG_TEST_QDRANT set to an address it runs on that server as well.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from rag.embedding.sparse import SparseEncoder
from rag.errors import BadRequest
from rag.store.access import Access
from rag.store.edge import EdgePoints
from rag.store.points import Point, PointStore
from rag.store.server import ServerPoints

DIM = 16
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode is not recommended:UserWarning"),
]


def open_edge(folder: Path) -> PointStore:
    return EdgePoints(folder / "edge", dim=DIM)


def open_local(folder: Path) -> PointStore:
    client = QdrantClient(path=str(folder / "local"))
    return ServerPoints(client, client, collection="test", dim=DIM)


def open_server(folder: Path) -> PointStore:
    return ServerPoints.connect(os.environ["RAG_TEST_QDRANT"], collection=f"test-{folder.name}", dim=DIM)


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
    assert store.settle(1) == 5
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
    access = Access("acme", ("everyone", "staff"), "handbook", (7, 8))
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
    assert store.settle(1) == 3
    store.close()
    again = opened(tmp_path)
    assert again.versions() == [(1, 3)]
    assert found(again, ACME) == [{1, 2, 3}, {1, 2, 3}]
    again.close()


def test_info_counts_points(store: PointStore) -> None:
    store.upsert([point(1), point(2)])
    assert store.info()["points"] == 2
    assert "Qdrant" in store.info()["store"]
