"""The index process: real embedder, real embedded store, through the pipe as the program uses it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.child import Inbox, Request
from rag.errors import BadRequest, DiskFull, IndexUnavailable
from rag.models.verification import verified
from rag.settings import StoreSettings
from rag.sharing import SharedWorker
from rag.store.access import Access
from rag.store.index import IndexService, may_build
from rag.store.opening import collection_of
from rag.store.stamp import read_stamp
from rag.store.vectors import IndexVectors

CONFIG: dict[str, dict[str, Any]] = {"store": {"min_free_bytes": 0}, "embedding": {"dtype": "float32"}}
ACCESS = Access("default", ("everyone",))
TEXTS = {
    "leave": "Every employee has thirty days of annual leave.",
    "coffee": "The coffee machine is cleaned on Fridays.",
    "sales": "Sales in the third quarter grew by nine percent.",
}
IDS = {name: str(uuid.uuid5(uuid.NAMESPACE_OID, name)) for name in TEXTS}
CHUNKS = [{"id": IDS[name], "text": text, "heading": f"Handbook > {name}"} for name, text in TEXTS.items()]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[IndexService]:
    service = IndexService(str(tmp_path), **CONFIG)
    yield service
    service.close()


@pytest.mark.parametrize(
    ("points", "scanned", "quiet_s", "expected"),
    [
        (60_000, 60_000, 3_600, True),
        (60_000, 60_000, 60, False),  # 18 s of building, and somebody asked a minute ago
        (15_000, 15_000, 3_600, False),  # scanning so few is fast
        (1_000_000, 30_000, 36_000, False),  # not worth merging all again
        (1_000_000, 300_000, 600, False),
        (1_000_000, 300_000, 3_600, True),
    ],
)
def test_a_graph_is_built_when_it_pays_and_nobody_asked_for_long(
    points: int, scanned: int, quiet_s: float, expected: bool
) -> None:
    assert may_build(points, scanned, quiet_s) is expected


def test_an_index_that_scans_little_is_left_as_it_is(service: IndexService) -> None:
    assert service.tidy() is False


def test_write_find_compare_and_delete_through_the_pipe(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))


async def story(home: Path) -> None:
    """One story, because starting a child costs seconds: write, settle, find, compare, delete."""
    worker = SharedWorker(
        "rag.store.index:IndexService", {"home": str(home), **CONFIG}, name="index", lock=home / "index.lock"
    )
    vectors = IndexVectors(worker)
    try:
        done = await vectors.upsert(
            7, tenant="default", collection="default", groups=["everyone"], labels=["hr"], chunks=CHUNKS
        )
        assert done["points"] == 3 and done["tokens"] > 20
        assert (await vectors.settle(7))["points"] == 3
        assert await vectors.versions() == {7: 3}
        legs = await vectors.search("How long is my vacation?", access=ACCESS, limit=3)
        assert legs.dense[0][0] == IDS["leave"]
        legs = await vectors.search("coffee machine", access=ACCESS, limit=3)
        assert legs.dense[0][0] == legs.sparse[0][0] == IDS["coffee"]
        hidden = Access("default", ("everyone",), hidden=(7,))
        assert (await vectors.search("coffee machine", access=hidden, limit=3)).dense == []
        with pytest.raises(BadRequest, match="needs a tenant"):
            await vectors.search("coffee", access=Access("", ("everyone",)), limit=3)
        cosines = await vectors.similarity(["annual leave"], list(TEXTS.values()))
        assert max(cosines[0]) == cosines[0][0]
        for _ in range(2):  # computed and kept
            kept = await vectors.similarity(["annual leave"], list(TEXTS.values()), reader="acme", epoch="1")
            assert kept[0] == pytest.approx(cosines[0], abs=1e-5)
        assert (await vectors.info())["model"] == "all-minilm-l6-v2"
        await vectors.regroup({7: (["board"], ["secret"])})
        assert (await vectors.search("coffee machine", access=ACCESS, limit=3)).dense == []
        board = Access("default", ("board",))
        assert len((await vectors.search("coffee machine", access=board, limit=3)).dense) == 3
        with pytest.raises(BadRequest, match="generation 1 is the one in use"):
            await vectors.drop(1)
        await vectors.delete([7])
        assert await vectors.versions() == {}
    finally:
        await worker.stop()


def test_the_heading_is_searched_with_the_text(service: IndexService) -> None:
    service.upsert(1, "default", "default", ["everyone"], CHUNKS)
    found = service.search("handbook", ACCESS.wire(), 10)
    assert {key for key, _ in found["sparse"]} == set(IDS.values())


def test_a_question_is_answered_between_the_passes_of_an_upsert(tmp_path: Path) -> None:
    """The inbox holds a search and a delete while an upsert runs: the search goes first, the delete waits."""
    service = IndexService(str(tmp_path), CONFIG["store"], {**CONFIG["embedding"], "batch_tokens": 16})
    inbox, peer = Inbox(IndexService.ranks), Answers()
    service._inbox = inbox
    inbox.put(Request(peer, 1, "delete", {"versions": [1]}))  # type: ignore[arg-type]
    inbox.put(Request(peer, 2, "search", {"text": "leave", "access": ACCESS.wire(), "limit": 3}))  # type: ignore[arg-type]
    service.upsert(1, "default", "default", ["everyone"], CHUNKS)
    assert [message["id"] for message in peer.sent] == [2]
    assert dict(service.versions()) == {1: 3}
    inbox.close()
    service.close()


class Answers:
    """Keeps what a client would get."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self._inbox: Inbox | None = None
        self._count = 0

    def close_after(self, inbox: Inbox, count: int) -> None:
        """End the service when it has answered so often."""
        self._inbox, self._count = inbox, count

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if self._inbox and len(self.sent) == self._count:
            self._inbox.close()

    def forget(self, number: int) -> None:
        pass


def test_documents_that_wait_together_are_written_and_flushed_together(
    service: IndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three documents of one chunk, a long one and a search: one pass for the three, one flush for all."""
    passes, flushes = [], []
    embed, settle = service._embedder.embed_documents, service._points.settle
    monkeypatch.setattr(
        service._embedder,
        "embed_documents",
        lambda texts, **more: passes.append(len(texts)) or embed(texts, **more),
    )
    monkeypatch.setattr(service._points, "settle", lambda those: flushes.append(those) or settle(those))
    inbox, peer = Inbox(IndexService.ranks), Answers()
    long = [{"id": str(uuid.uuid4()), "text": f"Row {row}.", "heading": ""} for row in range(64)]
    documents = {1: CHUNKS[:1], 2: CHUNKS[1:2], 3: CHUNKS[2:], 4: long, 5: []}
    for version, chunks in documents.items():
        marks = {"tenant": f"t{version}", "collection": "default", "groups": ["everyone"]}
        inbox.put(Request(peer, version, "upsert", {"version": version, **marks, "chunks": chunks}))  # type: ignore[arg-type]
    inbox.put(Request(peer, 6, "search", {"text": "leave", "access": ACCESS.wire(), "limit": 3}))  # type: ignore[arg-type]
    for version in documents:
        inbox.put(Request(peer, 10 + version, "settle", {"version": version}))  # type: ignore[arg-type]
    peer.close_after(inbox, 11)
    service.run(inbox)
    results = {message["id"]: message["result"] for message in peer.sent}
    assert (passes, flushes) == ([67, 0], [[1, 2, 3, 4, 5]])
    assert [results[version]["points"] for version in documents] == [1, 1, 1, 64, 0]
    assert [results[10 + version]["points"] for version in documents] == [1, 1, 1, 64, 0]
    assert results[4]["embed_s"] > results[1]["embed_s"] > 0, "each is told its share"
    for version, owner in ((1, "leave"), (2, "coffee"), (3, "sales")):
        found = service.search("leave coffee sales", Access(f"t{version}", ("everyone",)).wire(), 9)
        assert [key for key, _ in found["dense"]] == [IDS[owner]], "its own tenant's and nobody else's"


def test_what_ends_a_joint_write_is_told_to_all_of_it(
    service: IndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise DiskFull("no space")

    monkeypatch.setattr(service._points, "upsert", full)
    inbox, peer = Inbox(IndexService.ranks), Answers()
    for number, chunk in enumerate(CHUNKS):
        marks = {"tenant": "default", "collection": "default", "groups": ["everyone"]}
        inbox.put(Request(peer, number, "upsert", {"version": number, **marks, "chunks": [chunk]}))  # type: ignore[arg-type]
    peer.close_after(inbox, 3)
    service.run(inbox)
    assert [message["error"]["type"] for message in peer.sent] == ["DiskFull"] * 3


def test_an_index_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "model.json").write_text(json.dumps({"model": "other", "sha256": "", "dim": 3}))
    with pytest.raises(IndexUnavailable, match="made with model 'other'"):
        IndexService(str(tmp_path), **CONFIG)


def test_an_index_from_before_generations_becomes_the_first(tmp_path: Path) -> None:
    service = IndexService(str(tmp_path), **CONFIG)
    service.upsert(1, "default", "default", ["everyone"], CHUNKS)
    service.settle(1)
    service.close()
    first, index = tmp_path / "index" / "1", tmp_path / "index"
    (first / "edge").rename(index / "edge")
    # The stamp as the first release wrote it, and a kill between the two moves.
    old = {name: json.loads((first / "model.json").read_text())[name] for name in ("model", "sha256", "dim")}
    (first / "model.json").unlink()
    (index / "model.json").write_text(json.dumps(old))
    again = IndexService(str(tmp_path), **CONFIG)
    assert again.versions() == [(1, 3)]
    assert sorted(path.name for path in index.iterdir()) == ["1"]
    again.close()


def test_generations_live_beside_each_other_and_one_is_dropped(tmp_path: Path) -> None:
    old = IndexService(str(tmp_path), **CONFIG)
    new = IndexService(
        str(tmp_path),
        {**CONFIG["store"], "quantisation": "int8"},
        {**CONFIG["embedding"], "dimensions": 64},
        generation="2",
        recipe="chunks of 128",
    )
    old.upsert(1, "default", "default", ["everyone"], CHUNKS)
    new.upsert(2, "default", "default", ["everyone"], CHUNKS)
    assert (old.versions(), new.versions()) == ([(1, 3)], [(2, 3)])
    facts = new.info()
    assert {name: facts[name] for name in ("dim", "generation", "quantisation", "recipe")} == {
        "dim": 64,
        "generation": "2",
        "quantisation": "int8",
        "recipe": "chunks of 128",
    }
    assert "64 of 384" in facts["truncation"] and "not known" in facts["truncation"]
    assert old.info()["truncation"] == ""
    old.close()
    new.drop("1")
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["2"]
    assert new.versions() == [(2, 3)]
    new.close()


@pytest.mark.parametrize("generation", ["0", "../..", "", "1/2"])
def test_what_is_no_generation_is_refused(service: IndexService, generation: str) -> None:
    with pytest.raises(BadRequest, match="numbered from 1"):
        service.drop(generation)


@pytest.mark.parametrize(
    ("store", "embedding", "problem"),
    [
        ({}, {"dimensions": 64}, "384 numbers a vector"),
        ({"quantisation": "binary"}, {}, "store.quantisation 'none'"),
    ],
)
def test_an_index_made_otherwise_is_refused(
    tmp_path: Path, store: dict[str, Any], embedding: dict[str, Any], problem: str
) -> None:
    IndexService(str(tmp_path), **CONFIG).close()
    with pytest.raises(IndexUnavailable, match=problem):
        IndexService(str(tmp_path), CONFIG["store"] | store, CONFIG["embedding"] | embedding)


def test_the_stamp_names_what_made_the_vectors(service: IndexService, tmp_path: Path) -> None:
    stamp = read_stamp(tmp_path / "index" / "1")
    assert stamp
    assert (stamp.model, stamp.dim, stamp.dtype) == ("all-minilm-l6-v2", 384, "float32")
    assert (stamp.quantisation, stamp.recipe, len(stamp.sha256)) == ("none", "", 64)


def test_a_damaged_stamp_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "index" / "1").mkdir(parents=True)
    (tmp_path / "index" / "1" / "model.json").write_text("{")
    with pytest.raises(IndexUnavailable, match="cannot be read"):
        IndexService(str(tmp_path), **CONFIG)


def test_a_collection_on_a_server_carries_the_generation_from_the_second_on() -> None:
    settings = StoreSettings(url="http://127.0.0.1:1", collection="docs")
    assert [collection_of(settings, number) for number in ("1", "2")] == ["docs", "docs-g2"]


def test_a_model_may_be_a_folder(tmp_path: Path) -> None:
    pinned, digest = verified("all-minilm-l6-v2", tmp_path)
    assert verified(str(pinned), tmp_path) == (pinned, digest)
