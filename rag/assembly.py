"""Settings to a running system: the only file that names concrete classes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ingest.erasure import erase
from ingest.feeder import Feeder
from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from rag.answering.back import question_back
from rag.assistant import Assistant
from rag.cost.meter import Meter
from rag.engine.generator import Engine, Generator
from rag.engine.remote import RemoteGenerator
from rag.errors import Forbidden, ModelError, NotFound, SettingsError, UnknownModel
from rag.models import gates
from rag.models.lockfile import ChatTemplate, Entry, entry, locate
from rag.models.templates import families
from rag.models.verification import verify
from rag.rendering import PageImages
from rag.retrieval.retriever import Retriever
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.store.generations import Generations
from rag.store.indexes import IndexProcesses
from rag.store.jobs import Jobs
from rag.store.queue import Queue
from rag.store.revocation import FOLDER, epoch
from rag.store.vectors import Vectors
from rag.types import Document, Principal, Right, Tier
from rag.wire import Receipt
from rag.workers import Worker

PAGE_S = 20.0  # for one page


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
    generator: Generator
    assistant: Assistant
    model: Entry
    pipeline: Callable[[], Pipeline]
    feeder: Feeder
    page_images: PageImages
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
        return list(Tier)

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
        if self.settings.answering.tier is not Tier.EXTRACT:
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
        return Receipt.model_validate(receipt.json())


@asynccontextmanager
async def open_system(
    settings: Settings, *, generation: bool = True, linger: bool = False
) -> AsyncIterator[System]:
    """A running system; at the end every child is gone. `generation=False` does not ask for the model.

    `linger`: the index process may stay for some seconds, so that the next command starts faster.
    """
    home = settings.home
    make_home(home)
    model, generator = open_generator(settings, check=generation)
    catalog = await asyncio.to_thread(Catalog, home, settings.store.database_url)
    indexes = IndexProcesses(settings, Generations(catalog.database))
    vectors = indexes.live
    retriever = Retriever(vectors, catalog, settings.retrieval)
    pages = page_worker(settings)
    barred = why_barred(model, settings)
    if barred and generation and settings.answering.tier is not Tier.EXTRACT:
        raise barred
    try:
        yield System(
            settings=settings,
            principal=Principal(),
            catalog=catalog,
            vectors=vectors,
            retriever=retriever,
            generator=generator,
            assistant=Assistant(
                retriever,
                generator,
                vectors,
                Meter(settings.cost),
                settings.answering,
                template_of(model),
                epoch=partial(epoch, home / FOLDER),
                live=catalog.passages,
                ask_back=question_back,
                model_sha256=model.sha256,
                barred=barred,
            ),
            model=model,
            pipeline=lambda: Pipeline(catalog, indexes, settings),
            feeder=Feeder(Pipeline(catalog, indexes, settings)),
            page_images=PageImages(pages, home),
        )
    finally:
        leaving = (generator.close(), indexes.stop(linger=linger), pages.stop())
        await asyncio.gather(*leaving, return_exceptions=True)
        await asyncio.to_thread(catalog.close)


def open_generator(settings: Settings, *, check: bool) -> tuple[Entry, Generator]:
    """The model that answers, here or on another server; `check` asks whether its file is there."""
    engine, home = settings.engine, settings.home
    if not engine.url:
        model = entry(engine.model, home)
        if check:
            locate(model, home)
        return model, Engine.of(home, engine)
    known = families()
    if engine.remote_template not in known:
        raise SettingsError(
            f"engine.remote_template is {engine.remote_template!r}; have {', '.join(sorted(known))}"
        )
    template = known[engine.remote_template].template
    name = engine.remote_model or "remote"
    model = Entry(name, "generator", "", (), "", "", engine.url, template=template)
    remote = RemoteGenerator(
        engine.url, model=engine.remote_model, api_key=engine.api_key, start=template.start
    )
    return model, remote


def why_barred(model: Entry, settings: Settings) -> ModelError | None:
    """Why a model may not word answers of this risk profile; None: it may."""
    try:
        gates.check(settings.home, model, settings, settings.answering.profile)
    except ModelError as error:
        return error
    return None


def template_of(model: Entry) -> ChatTemplate:
    """The form in which a generator reads a conversation."""
    if model.template is None:
        raise SettingsError(f"engine.model {model.name!r} has no chat template: it does not answer questions")
    return model.template


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


def make_home(home: Path) -> None:
    """The folder of a home, readable by its owner only. Raises SettingsError when it cannot be made."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"home {str(home)!r} cannot be made: {error.strerror}; choose another") from None


__all__ = ["Summary", "System", "open_system"]
