"""Settings to a running system: the only file that names concrete classes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ingest.erasure import erase
from ingest.feeder import Feeder
from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from rag.accounts.tenants import Tenants
from rag.answering.back import question_back
from rag.assistant import Assistant
from rag.conversations.erasure import forget_gone
from rag.cost.accountant import Accountant
from rag.cost.lookups import Lookup, booked
from rag.engine.generator import Generator
from rag.errors import Forbidden, NotFound, RagError, SettingsError, UnknownModel
from rag.models.lockfile import Entry, folder_of, languages_of, locate
from rag.models.verification import verify
from rag.observability.metering import metered
from rag.rendering import PageImages
from rag.retrieval.filters import Filter
from rag.retrieval.reranker import ChildReranker
from rag.retrieval.retriever import Retriever
from rag.routing.opening import open_voices, price_of
from rag.routing.tiers import declared, model_of
from rag.routing.voices import Voices
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.store.generations import Generations
from rag.store.indexes import IndexProcesses
from rag.store.jobs import Jobs
from rag.store.queue import Queue
from rag.store.revocation import FOLDER, epoch
from rag.store.vectors import Vectors
from rag.types import Document, Passage, Principal, Right
from rag.wire import Receipt
from rag.workers import Worker

PAGE_S = 20.0  # for one page
SMALL = "small"  # the tier of the model in [engine]


if TYPE_CHECKING:
    from rag.observability.metrics import Metrics


@dataclass(frozen=True)
class System:
    """Everything that answers and feeds, for one home. Children start at their first call.

    `principal` is the owner of the home, for whom the command line and the SDK in process act.
    """

    settings: Settings
    principal: Principal
    catalog: Catalog
    vectors: Vectors
    retriever: Retriever
    voices: Voices
    accountant: Accountant
    assistant: Assistant
    model: Entry
    pipeline: Callable[[], Pipeline]
    feeder: Feeder
    page_images: PageImages
    metrics: Metrics | None = None
    instance: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def model_name(self) -> str:
        return self.model.name

    @property
    def model_sha256(self) -> str:
        return self.model.sha256

    @property
    def tiers(self) -> list[str]:
        """Names of who may word answers, from cheap to dear."""
        return list(self.voices.names)

    @property
    def generator(self) -> Generator:
        """The model of [engine]."""
        found = self.voices.of[SMALL].generator
        assert found is not None
        return found

    @property
    def jobs(self) -> Jobs:
        """The runs of ingestion."""
        return Jobs(self.catalog.database)

    @property
    def queue(self) -> Queue:
        """What they have to do."""
        return Queue(self.catalog.database)

    def verify_model(self) -> None:
        """Raises ModelError without the generator's file, ModelMismatch when it is not the pinned one."""
        if self.model.files:
            verify(locate(self.model, self.settings.home), self.model)

    async def warm(self) -> None:
        """Start the children, all at once, before a question waits for them; it will tell what failed."""
        starts = [self.vectors.info()]
        if self.settings.answering.tier == SMALL:
            starts.append(self.generator.info())
        await asyncio.gather(*starts, return_exceptions=True)

    async def collections(self, principal: Principal) -> list[str]:
        """Names of the collections that hold a document the principal may read."""
        documents = await asyncio.to_thread(self.catalog.documents, principal)
        return sorted({document.collection for document in documents})

    async def check_collection(self, name: str | None, principal: Principal) -> None:
        """Raises UnknownModel when there is no such collection for this reader."""
        if name is not None and name not in (known := await self.collections(principal)):
            raise UnknownModel(f"no collection {name!r}; have {', '.join(known) or 'none yet'}")

    async def ingest(
        self, paths: Sequence[Path], *, collection: str = "default", groups: tuple[str, ...] = ("everyone",)
    ) -> Summary:
        """Bring the index up to date with files and folders."""
        async with self.feeder.turn:
            return await self.pipeline().run(
                paths, principal=self.principal, collection=collection, groups=groups
            )

    async def search(
        self,
        query: str,
        principal: Principal,
        *,
        collection: str | None = None,
        limit: int | None = None,
        only: Filter | None = None,
    ) -> list[Passage]:
        """Passages, best first, and what it took on the books. Raises BudgetExceeded."""
        async with booked(self.accountant, Lookup.SEARCH, principal, collection=collection):
            return await self.retriever.search(
                query, principal, collection=collection, limit=limit, only=only
            )

    async def embed(
        self, texts: Sequence[str], principal: Principal, *, side: Literal["query", "document"]
    ) -> list[list[float]]:
        """A vector for each text, and what they took on the books. Raises BudgetExceeded."""
        async with booked(self.accountant, Lookup.VECTORS, principal):
            return await self.vectors.embed(texts, side=side)

    async def document(self, document_id: str, principal: Principal) -> Document:
        """One document. Raises NotFound, also for one that the principal may not read."""
        found = await asyncio.to_thread(self.catalog.document, document_id, principal)
        if found is None:
            raise NotFound(f"no document {document_id!r}")
        return found

    async def delete(self, document_id: str, principal: Principal) -> Receipt:
        """Forget a document and the parts in it. Raises NotFound, Forbidden for one of others."""
        document = await self.document(document_id, principal)
        if not principal.may(Right.CURATE) and not (principal.user and document.owner == principal.user):
            raise Forbidden(f"document {document_id!r} is not yours; a curator may delete it")
        receipt = await erase(self.pipeline(), [document.id])
        await asyncio.to_thread(forget_gone, self.catalog.database)
        return Receipt.model_validate(receipt.json())


@asynccontextmanager
async def open_system(
    settings: Settings, *, generation: bool = True, linger: bool = False, metrics: Metrics | None = None
) -> AsyncIterator[System]:
    """A running system; at the end every child is gone. `generation=False` does not ask for the model.

    `linger`: the index process may stay for some seconds, so that the next command starts faster.
    """
    home = settings.home
    make_home(home)
    rereading = rerank_worker(settings)
    voices = open_voices(settings)
    if metrics:
        voices = metered(voices, metrics)
    if generation and (why := voices.barred.get(settings.answering.tier)):
        raise why
    catalog = await asyncio.to_thread(Catalog, home, settings.store.database_url)
    indexes = IndexProcesses(settings, Generations(catalog.database))
    vectors = indexes.live
    pages = page_worker(settings)
    try:
        reranker = ChildReranker(rereading) if rereading else None
        languages = languages_of(settings.embedding.model, home)
        retriever = Retriever(vectors, catalog, settings.retrieval, reranker, languages)
        accountant = await asyncio.to_thread(
            partial(Accountant, catalog.database, settings, price_of=price_of(settings))
        )
        yield System(
            settings=settings,
            principal=Principal(),
            catalog=catalog,
            vectors=vectors,
            retriever=retriever,
            voices=voices,
            accountant=accountant,
            assistant=Assistant(
                retriever,
                vectors,
                settings.answering,
                voices,
                accountant,
                epoch=partial(epoch, home / FOLDER),
                live=catalog.passages,
                beside=catalog.neighbours,
                ask_back=question_back,
                languages=languages,
            ),
            model=model_of(declared(settings).get(SMALL), settings),
            pipeline=lambda: Pipeline(catalog, indexes, settings),
            feeder=Feeder(
                Pipeline(catalog, indexes, settings),
                check_room=Tenants(catalog.database, settings.limits).check_room,
            ),
            page_images=PageImages(pages, home),
            metrics=metrics,
        )
    finally:
        leaving = [voices.close(), indexes.stop(linger=linger), pages.stop()]
        leaving += [rereading.stop()] if rereading else []
        await asyncio.gather(*leaving, return_exceptions=True)
        await asyncio.to_thread(catalog.close)


def page_worker(settings: Settings) -> Worker:
    """The child that draws pages; it starts at the first one."""
    ingest = settings.ingest
    config = {
        "timeout_s": PAGE_S,
        "memory_bytes": ingest.memory_bytes,
        "max_file_bytes": ingest.max_file_bytes,
        "passwords": list(ingest.passwords),
    }
    return Worker("ingest.parsing.rendering:PageService", config, name="pages")


def rerank_worker(settings: Settings) -> Worker | None:
    """The child that reads the best passages again; None without a model. Raises SettingsError."""
    model = settings.retrieval.reranker
    if not model:
        return None
    try:
        found = folder_of(model, settings.home).is_dir()
    except RagError as error:
        raise SettingsError(f"retrieval.reranker is {model!r}, which is no folder; {error}") from None
    if not found:
        raise SettingsError(f"retrieval.reranker is {model!r}: there is no such folder")
    runtime, threads = settings.retrieval.reranker_runtime, settings.embedding.threads
    config = {"model": model, "home": str(settings.home.resolve()), "threads": threads, "runtime": runtime}
    return Worker("rag.retrieval.cross_encoder:RerankService", config, name="rerank")


def make_home(home: Path) -> None:
    """The folder of a home, readable by its owner only. Raises SettingsError when it cannot be made."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"home {str(home)!r} cannot be made: {error.strerror}; choose another") from None


__all__ = ["Summary", "System", "open_system"]
