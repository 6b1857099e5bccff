"""Search from question to passages, on a real catalog, a real embedder and a real index."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.retrieval.retriever import Retriever
from rag.settings import RetrievalSettings
from rag.store.catalog import Catalog
from rag.store.index import IndexService
from rag.store.queue import Listed, Queue, Shelf
from rag.store.vectors import IndexVectors
from rag.types import Chunk, Passage, Principal

LEAVE = "Every employee has 30 days of annual leave."
OLD_LEAVE = "Every employee has 25 days of annual leave."
BOARD = "The board plans to sell the annual leave office in May."


class Here:
    """Calls the index service in this process: the same methods, without the pipe."""

    def __init__(self, service: IndexService) -> None:
        self.service = service

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        return getattr(self.service, method)(**args)

    def stream(self, method: str, **args: Any) -> AsyncIterator[Any]:
        raise AssertionError("the index does not stream")


class Library:
    """A home with an index, into which documents are put by hand."""

    def __init__(self, home: Path) -> None:
        self.catalog = Catalog(home)
        self.queue = Queue(self.catalog.database)
        self.service = IndexService(str(home), {"min_free_bytes": 0}, {"dtype": "float32"})
        self.retriever = Retriever(IndexVectors(Here(self.service)), self.catalog, RetrievalSettings())

    def add(
        self, uri: str, *texts: str, tenant: str = "default", group: str = "everyone", live: bool = True
    ) -> int:
        shelf = Shelf.of(Principal(tenant, (group,)), "default", (group,), "1")
        self.queue.enqueue([Listed(uri, str(texts), 1)], shelf)
        claim = self.queue.claim(lease_s=60)
        assert claim
        version = self.catalog.open_version(claim.document_id, title=uri, media_type="text/plain", pages=1)
        chunks = [Chunk(str(uuid.uuid4()), index, text) for index, text in enumerate(texts)]
        self.catalog.save_chunks(version, chunks)
        fields = [{"id": chunk.id, "text": chunk.text, "heading": ""} for chunk in chunks]
        self.service.upsert(version, tenant, "default", [group], fields)
        assert not live or self.catalog.publish(claim.document_id, version)
        return version

    def ask(self, question: str, principal: Principal | None = None, **options: Any) -> list[Passage]:
        return asyncio.run(self.retriever.search(question, principal or Principal(), **options))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path)
    yield library
    library.service.close()
    library.catalog.close()


def test_a_passage_comes_with_its_document_and_both_scores(library: Library) -> None:
    version = library.add("/leave.md", LEAVE)
    library.add("/coffee.md", "The coffee machine is cleaned on Fridays.")
    best = library.ask("How much annual leave do I have?")[0]
    assert (best.chunk.text, best.uri, best.version) == (LEAVE, "/leave.md", version)
    assert best.dense and best.sparse and 0 < best.score <= 1


def test_the_replaced_and_the_unpublished_do_not_answer(library: Library) -> None:
    library.add("/leave.md", OLD_LEAVE)
    library.add("/leave.md", LEAVE)
    library.add("/draft.md", "Draft: 99 days of annual leave.", live=False)
    assert [each.chunk.text for each in library.ask("annual leave")] == [LEAVE]


def test_what_a_reader_may_not_read_is_not_found(library: Library) -> None:
    library.add("/leave.md", LEAVE)
    library.add("/board.md", BOARD, group="board")
    library.add("/rival.md", BOARD, tenant="rival")
    assert [each.chunk.text for each in library.ask("annual leave office")] == [LEAVE]
    assert len(library.ask("annual leave office", Principal("default", ("everyone", "board")))) == 2
    assert library.ask("annual leave office", Principal("default", ())) == []


def test_twins_leave_room_for_other_passages(library: Library) -> None:
    for number in range(4):
        library.add(f"/copy-{number}.md", LEAVE)
    library.add("/old.md", OLD_LEAVE)
    assert {each.chunk.text for each in library.ask("annual leave", limit=2)} == {LEAVE, OLD_LEAVE}


def test_an_empty_question_finds_nothing(library: Library) -> None:
    library.add("/leave.md", LEAVE)
    assert library.ask("  ") == []
