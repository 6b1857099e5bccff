"""A real catalog with a few published documents, and answers that cite them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rag.answering.citations import Citations
from rag.answering.sentences import sentences
from rag.conversations.shelf import Conversations
from rag.store.catalog import Catalog, StoredChunk
from rag.store.intake import Intake
from rag.store.queue import Listed, Queue, Shelf
from rag.store.versions import Description
from rag.types import Answer, Chunk, Cost, Document, Outcome, Passage, Principal, Usage
from tests.rag.conftest import SmallLibrary, passages

Publish = Callable[..., Passage]
ALICE = Principal(groups=("everyone", "staff"), user="alice", key="key-1")
BOB = Principal(groups=("everyone",), user="bob", key="key-2")
ELSEWHERE = Principal(tenant="elsewhere", groups=("everyone", "staff"), user="alice", key="key-3")


class OpenLibrary(SmallLibrary):
    """The small library with a catalog that gives back its documents and chunks."""

    def document(self, document_id: str, principal: Principal) -> Document | None:
        return next((each for each in self.documents(principal) if each.id == document_id), None)

    def passages(self, chunk_ids: Sequence[str], principal: Principal) -> dict[str, StoredChunk]:
        known = {each.chunk.id: each for each in passages()}
        found = {each: known[each] for each in chunk_ids if each in known}
        return {
            key: StoredChunk(each.chunk, document)
            for key, each in found.items()
            if (document := self.document(each.document_id, principal))
        }


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path)
    yield catalog
    catalog.close()


@pytest.fixture
def shelf(catalog: Catalog, clock: Clock) -> Conversations:
    return Conversations(catalog.database, clock=clock)


@pytest.fixture
def publish(catalog: Catalog) -> Publish:
    """Index a document of one chunk, again under the same name for another version; its passage."""
    queue = Queue(catalog.database)

    def publish(title: str, text: str, groups: tuple[str, ...] = ("everyone",)) -> Passage:
        uri, place = f"/handbook/{title}.md", Shelf.of(ALICE, "handbook", groups, "1")
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        queue.enqueue([Listed(uri, sha256, len(text))], place)
        claim = queue.claim(lease_s=60)
        assert claim

        def cut(version: int) -> list[Chunk]:
            name = f"chunk-{title}-{version}"
            return [Chunk(name, 0, text, heading_path=("Handbook", title), pages=(2,))]

        about = Description(title, "text/plain", 1)
        version = Intake(catalog.database).take(claim, sha256, about, cut, worker=queue.worker)
        assert version
        (chunk,) = cut(version)
        assert catalog.publish(claim.document_id, version)
        return Passage(chunk, claim.document_id, version, title, uri, score=0.5)

    return publish


@pytest.fixture
def narrow(catalog: Catalog) -> Callable[[Passage, tuple[str, ...]], None]:
    """Let only some groups read a document from now on."""
    queue = Queue(catalog.database)

    def narrow(passage: Passage, groups: tuple[str, ...]) -> None:
        text = passage.chunk.text
        listed = Listed(passage.uri, hashlib.sha256(text.encode()).hexdigest(), len(text))
        queue.enqueue([listed], Shelf.of(ALICE, "handbook", groups, "1"))

    return narrow


def answered(
    *passages: Passage, text: str = "", outcome: Outcome = Outcome.QUOTED, notes: tuple[str, ...] = ()
) -> Answer:
    """What the assistant gives: the last sentence of each passage, cited; without passages a refusal."""
    citations = Citations(5)
    if outcome is Outcome.QUOTED:
        for passage in passages:
            citations.add(passage, sentences(passage.chunk.text)[-1], score=0.5)
    said = " ".join(f"{each.quote} [{each.marker}]" for each in citations.all)
    return Answer(
        text=text or said or "The documents do not answer this.",
        outcome=outcome,
        tier="extract",
        citations=citations.all,
        passages=passages,
        usage=Usage(40, 8),
        cost=Cost(0.00001, "EUR", 1.8, "estimate"),
        seconds={"total": 0.02},
        model="smollm2-135m-instruct",
        notes=notes,
        confidence=0.8,
        why="a quote answers it",
    )
