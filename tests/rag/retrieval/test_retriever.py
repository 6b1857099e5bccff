"""Search from question to passages, on a real catalog, a real embedder and a real index."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from rag.retrieval.filters import Filter
from rag.retrieval.retriever import Retriever
from rag.settings import RetrievalSettings
from rag.store.catalog import Catalog
from rag.store.index import IndexService
from rag.store.queue import Listed, Queue, Shelf
from rag.store.vectors import IndexVectors
from rag.types import Chunk, Message, Passage, Principal

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
        assert version
        chunks = [Chunk(str(uuid.uuid4()), index, text, tokens=9) for index, text in enumerate(texts)]
        self.catalog.save_chunks(version, chunks)
        fields = [{"id": chunk.id, "text": chunk.text, "heading": ""} for chunk in chunks]
        self.service.upsert(version, tenant, "default", [group], fields)
        assert not live or self.catalog.publish(claim.document_id, version)
        return version

    def with_settings(self, **settings: int) -> Library:
        """The same documents, searched with other settings."""
        other = copy(self)
        vectors = IndexVectors(Here(self.service))
        other.retriever = Retriever(vectors, self.catalog, RetrievalSettings.model_validate(settings))
        return other

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


def test_a_follow_up_finds_what_the_conversation_is_about(library: Library) -> None:
    library.add("/leave.md", LEAVE)
    library.add("/parking.md", "In Germany the parking permit is renewed by the office manager.")
    library.add("/leave-de.md", "Employees in Germany have 28 days of annual leave.")
    history = [Message("user", "How much annual leave do employees have?"), Message("assistant", "30 days.")]
    assert library.ask("And in Germany?", history=history)[0].uri == "/leave-de.md"


def test_a_filter_shuts_documents_out_of_the_search(library: Library) -> None:
    library.add("/leave 2023.md", OLD_LEAVE)
    library.add("/leave 2024.md", LEAVE)
    found = library.ask("annual leave", only=Filter.parse("date:2023"))
    assert [each.uri for each in found] == ["/leave 2023.md"]
    assert library.ask("annual leave", only=Filter.parse("label:none")) == []


def test_the_period_of_a_question_chooses_the_document(library: Library) -> None:
    for year, days in ((2022, 20), (2023, 25), (2024, 30)):
        library.add(f"/Leave rules {year}.md", f"Every employee has {days} days of annual leave.")
    for year in (2022, 2023, 2024):
        assert library.ask(f"How many days of annual leave in {year}?")[0].uri == f"/Leave rules {year}.md"
    assert library.ask("What is the latest number of days of leave?")[0].uri == "/Leave rules 2024.md"


def test_a_passage_says_what_each_signal_added(library: Library) -> None:
    library.add("/Leave rules 2024.md", LEAVE)
    best = library.ask("How many days of annual leave in 2024?")[0]
    signals = dict(best.signals)
    assert signals["period"] > 0 and signals["bm25"] > 0
    assert best.score == pytest.approx(min(1.0, sum(signals.values())))


def test_neighbours_of_a_hit_follow_it_within_the_budget(library: Library) -> None:
    library.add(
        "/rules.md", "First, the terms.", LEAVE, "It ends with the contract.", "The canteen opens at noon."
    )
    grown = library.with_settings(expand=20).ask("How much annual leave do I have?", limit=1)
    assert [each.chunk.text for each in grown] == [LEAVE, "First, the terms.", "It ends with the contract."]
    assert [each.expands for each in grown] == ["", grown[0].chunk.id, grown[0].chunk.id]
    assert len(library.with_settings(expand=9).ask("annual leave", limit=1)) == 2
    assert len(library.ask("annual leave", limit=1)) == 1


class Backwards:
    """Prefers what the ranking liked least."""

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [place / len(texts) for place in range(len(texts))]


def test_a_reranker_has_the_last_word(library: Library) -> None:
    library.add("/leave.md", LEAVE)
    library.add("/old.md", OLD_LEAVE)
    library.add("/coffee.md", "The coffee machine is cleaned on Fridays.")
    plain = library.ask("annual leave")
    library.retriever = Retriever(
        IndexVectors(Here(library.service)), library.catalog, RetrievalSettings(), Backwards()
    )
    assert [each.chunk.id for each in library.ask("annual leave")] == [each.chunk.id for each in plain][::-1]
