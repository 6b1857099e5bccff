"""A small service for tests of what stands before the assistant: real HTTP, real JSON, three passages."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from rag.answering.manner import AS_SET, Manner
from rag.api.app import create_app
from rag.assembly import System
from rag.assistant import Delta, Event, Final, Sources
from rag.engine.generator import Logprob
from rag.errors import RagError
from rag.models.lockfile import entry
from rag.retrieval.filters import Filter
from rag.settings import ServerSettings, Settings
from rag.types import (
    Answer,
    Chunk,
    Citation,
    Cost,
    Document,
    DocumentState,
    Message,
    Outcome,
    Passage,
    Principal,
    Tier,
    Usage,
)

TEXTS = {
    "Leave": "Employees have 28 days of paid leave a year.",
    "Travel": "Hotels are paid up to 140 euros a night.",
    "Kitchen": "The coffee machine is cleaned every Friday.",
}


def passages() -> list[Passage]:
    """One passage of each document of TEXTS."""
    return [
        Passage(
            chunk=Chunk(
                id=f"chunk-{title}", ordinal=0, text=text, heading_path=("Handbook", title), pages=(2,)
            ),
            document_id=f"document-{title}",
            version=1,
            title=title,
            uri=f"/handbook/{title}.md",
            score=0.5,
            dense=0.4,
            sparse=3.0,
        )
        for title, text in TEXTS.items()
    ]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


@dataclass
class SmallLibrary:
    """Assistant, retriever, catalog and index in one: answers with the passage that shares most words."""

    pause_s: float = 0.0
    failure: RagError | None = None
    bug: Exception | None = None
    fails_after: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    stopped_early: int = 0

    async def search(
        self,
        question: str,
        principal: Principal,
        *,
        collection: str | None = None,
        limit: int | None = None,
        only: Filter | None = None,
    ) -> list[Passage]:
        found = [passage for passage in passages() if words(question) & words(passage.chunk.text)]
        return sorted(found, key=lambda passage: -len(words(question) & words(passage.chunk.text)))[:limit]

    async def ask(
        self,
        question: str,
        principal: Principal,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: str | None = None,
        limit: int | None = None,
        only: Filter | None = None,
        manner: Manner = AS_SET,
    ) -> AsyncIterator[Event]:
        asked = {"question": question, "history": history, "collection": collection, "tier": tier}
        self.asked.append(asked | {"only": only, "manner": manner})
        if self.bug:
            raise self.bug
        if self.failure and not self.fails_after:
            raise self.failure
        found = tuple(await self.search(question, principal, limit=limit))
        answer = self.answer(found, tier or Tier.EXTRACT)
        if manner.schema and found:
            answer = replace(answer, text='{"text": "Employees"}')
        try:
            yield Sources(found)
            for number, word in enumerate(re.findall(r"\S+\s*", answer.text), 1):
                await asyncio.sleep(self.pause_s)
                if self.failure and number > self.fails_after:
                    raise self.failure
                drawn = (Logprob(word, number, -0.5, ((word, number, -0.5), ("b", 7, -1.5))),)
                new = answer.citations if word == "[1]" else ()
                yield Delta(word, new, drawn if manner.logprobs is not None else ())
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped_early += 1
            raise
        yield Final(answer)

    def answer(self, found: tuple[Passage, ...], tier: str) -> Answer:
        common = {
            "tier": tier,
            "passages": found,
            "usage": Usage(40, 8, 12),
            "cost": Cost(0.00001, "EUR", 1.8, "estimate: CPU-seconds x rate"),
            "seconds": {"retrieve": 0.01, "total": 0.02},
            "model": "smollm2-135m-instruct",
        }
        if not found:
            return Answer("The documents do not answer this.", Outcome.NOT_FOUND, citations=(), **common)
        best = found[0]
        citation = Citation(
            marker=1,
            document_id=best.document_id,
            title=best.title,
            uri=best.uri,
            chunk_id=best.chunk.id,
            quote=best.chunk.text,
            start=0,
            end=len(best.chunk.text),
            page=2,
            section="Handbook > " + best.title,
            score=best.score,
        )
        return Answer(f"{best.chunk.text} [1]", Outcome.QUOTED, citations=(citation,), **common)

    def documents(
        self, principal: Principal, *, collection: str | None = None, **_paging: Any
    ) -> list[Document]:
        documents = [
            Document(
                id=f"document-{title}",
                uri=f"/handbook/{title}.md",
                title=title,
                collection="handbook",
                tenant="default",
                sha256="0" * 64,
                version=1,
                state=DocumentState.LIVE,
                chunks=1,
            )
            for title in TEXTS
        ]
        return [document for document in documents if collection in (None, document.collection)]

    def counts(self) -> dict[DocumentState, int]:
        return {DocumentState.LIVE: len(TEXTS)}

    async def info(self) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        return {"points": len(TEXTS), "model": "all-minilm-l6-v2"}


@pytest.fixture
def library() -> SmallLibrary:
    return SmallLibrary()


class Service:
    """An application on a real port of this machine."""

    def __init__(self, library: SmallLibrary, url: str) -> None:
        self.library, self.url = library, url
        self.http = httpx.Client(base_url=url, timeout=10)


@pytest.fixture
def serving(library: SmallLibrary, tmp_path: Path) -> Any:
    """A context manager that serves the library with the given server settings."""

    @contextlib.contextmanager
    def start(**settings: Any) -> Iterator[Service]:
        roles = {"catalog": library, "vectors": library, "retriever": library, "assistant": library}
        system = System(
            settings=Settings(home=tmp_path, server=ServerSettings(**settings)),
            principal=Principal(),
            generator=None,  # type: ignore[arg-type]
            model=entry("smollm2-135m-instruct"),
            pipeline=None,  # type: ignore[arg-type]
            feeder=None,  # type: ignore[arg-type]
            page_images=None,  # type: ignore[arg-type]
            instance="the-instance",
            **roles,  # type: ignore[arg-type]
        )
        config = uvicorn.Config(create_app(system), port=0, log_config=None, lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        service = Service(library, f"http://127.0.0.1:{port}")
        try:
            yield service
        finally:
            service.http.close()
            server.should_exit = True
            thread.join()

    return start


@pytest.fixture
def service(request: pytest.FixtureRequest, serving: Any) -> Iterator[Service]:
    with serving(**getattr(request, "param", {})) as running:
        yield running
