"""Permafrost in this process: opens a home, owns its children, closes them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from rag.answering.events import Event, Final
from rag.assembly import Summary, System, open_system
from rag.errors import BadRequest, NotFound, UnknownModel, WorkerError
from rag.retrieval.filters import Filter
from rag.sdk.knowledge import Kind, Progress, Side, opened
from rag.sdk.loop import Loop
from rag.sdk.own import OwnMoney, OwnTalks
from rag.sdk.patience import Patience, settled
from rag.settings import Settings, load
from rag.store.jobs import Job
from rag.store.queue import UPLOADS
from rag.types import Answer, Chunk, Document, Message, Passage, Principal, Tier
from rag.wire import AUTO, Receipt

if TYPE_CHECKING:
    from rag.evaluation.record import Record

PIECE_BYTES = 1_000_000


class Rag:
    """An opened home. `Rag.open(path)`, then `ingest`, `search`, `ask`, `stream`; close it, or use `with`.

    Several processes may open the same home, a running server among them.
    """

    def __init__(self, settings: Settings, *, linger: bool = False) -> None:
        self._loop = Loop()
        self._stack = contextlib.AsyncExitStack()
        self._feeding = False
        try:
            self.system: System = self._loop.run(
                self._stack.enter_async_context(open_system(settings, linger=linger))
            )
        except BaseException:
            self._loop.close()
            raise
        self.conversations, self.money = OwnTalks(self.system), OwnMoney(self.system)

    @classmethod
    def open(cls, path: str | Path, **settings: Any) -> Self:
        """Open the home at `path`, made if it is not there. Other settings as in rag.toml, by section."""
        return cls(load(home=Path(path), **settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children and close the database. Closing twice is fine."""
        if self._loop.closed:
            return
        try:
            self._loop.run(self._stack.aclose())
        finally:
            self._loop.close()

    def warm(self) -> None:
        """Begin to start the children, so that the first question waits less. Returns at once."""
        self._loop.begin(self.system.warm())

    def ingest(
        self, *paths: str | Path, collection: str = "default", groups: Sequence[str] = ("everyone",)
    ) -> Summary:
        """Bring the index up to date with files and folders; returns the pipeline's summary."""
        if not paths:
            raise BadRequest("ingest needs at least one file or folder")
        return self._loop.run(
            self.system.ingest(
                [Path(path).expanduser() for path in paths], collection=collection, groups=tuple(groups)
            )
        )

    def search(
        self, query: str, *, collection: str | None = None, limit: int | None = None, filter: str = ""
    ) -> list[Passage]:
        """Passages, best first."""
        found = self.system.search(
            query,
            self.system.principal,
            collection=collection,
            limit=limit,
            only=Filter.parse(filter) if filter else None,
        )
        return self._loop.run(found)

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
        filter: str = "",
        max_cost: float | None = None,
        conversation: str | None = None,
    ) -> Answer:
        """The whole answer."""
        events = self.stream(
            question,
            history=history,
            collection=collection,
            tier=tier,
            limit=limit,
            filter=filter,
            max_cost=max_cost,
            conversation=conversation,
        )
        answer = None
        for event in events:  # to the end: what comes behind the answer is its accounting
            if isinstance(event, Final):
                answer = event.answer
        if answer is None:
            raise WorkerError("the answer ended before it was whole; ask again")
        return answer

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
        filter: str = "",
        max_cost: float | None = None,
        conversation: str | None = None,
    ) -> Iterator[Event]:
        """Sources, then text as it is checked, then the whole answer. Leaving early cancels it."""
        wishes: dict[str, Any] = {
            "collection": collection,
            "tier": tier_named(tier, self.system.tiers),
            "limit": limit,
            "only": Filter.parse(filter) if filter else None,
            "most": max_cost or 0.0,
        }
        ask, owner = self.system.assistant.ask, self.system.principal
        if conversation is None:
            return self._loop.iterate(ask(question, owner, history=tuple(history), **wishes))
        return self._loop.iterate(self.conversations.ask(conversation, question, **wishes))

    def embed(self, texts: Sequence[str], *, side: Side = "document") -> list[list[float]]:
        """A vector of length one for each text, as the index embeds documents or questions."""
        return self._loop.run(self.system.embed(list(texts), self.system.principal, side=side))

    def collections(self) -> list[str]:
        """Names of the collections that hold a document that may be read."""
        return self._loop.run(self.system.collections(self.system.principal))

    def documents(self, *, collection: str | None = None) -> list[Document]:
        """The documents that may be read."""
        return self.system.catalog.documents(self.system.principal, collection=collection)

    def upload(
        self,
        what: str | Path | bytes,
        *,
        name: str = "",
        collection: str = "default",
        labels: Sequence[str] = (),
        groups: Sequence[str] = (),
        wait: bool = True,
        timeout_s: float = 600.0,
    ) -> Document:
        """Hand in a file, or bytes with a `name`; the document it became, live or quarantined with a reason.

        Its bytes are copied into the home; what is not done when this is closed, the next server does. Raises
        PayloadTooLarge, and with `wait` WorkerTimeout, Cancelled, or WorkerError when its job failed.
        """
        self._feed()

        async def hand_in(name: str, file: BinaryIO) -> tuple[str, str]:
            feeder = self.system.feeder
            async with feeder.receiving() as files:
                await files.add(name, pieces(file))
                accepted = await feeder.submit(
                    files, self.system.principal, collection=collection, groups=groups, labels=labels
                )
            return accepted.job, accepted.documents[0]

        with opened(what, name) as (named, file):
            job_id, document_id = self._loop.run(hand_in(named, file))
        if not wait:
            return self.document(document_id)
        patience = Patience(timeout_s)
        while pause_s := patience.pause_s(job := self.job(job_id)):
            time.sleep(pause_s)
        with contextlib.suppress(NotFound):
            return settled(job, self.document(document_id))
        return settled(job, None)

    def document(self, document_id: str) -> Document:
        """One document. Raises NotFound, also for one that may not be read."""
        return self._loop.run(self.system.document(document_id, self.system.principal))

    def chunks(self, document_id: str) -> list[Chunk]:
        """The text of a document's live version, piece by piece. Raises NotFound."""
        return self.system.catalog.chunks(self.document(document_id).version)

    def delete(self, document_id: str) -> Receipt:
        """Forget a document and the parts in it; what went, and what a look afterwards found."""
        return self._loop.run(self.system.delete(document_id, self.system.principal))

    def jobs(self) -> list[Job]:
        """Runs of ingestion, newest first."""
        return self.system.jobs.all(self.system.principal)

    def job(self, job_id: str) -> Job:
        """One run of ingestion. Raises NotFound."""
        return self.system.jobs.get(job_id, self.system.principal)

    def pause_job(self, job_id: str) -> Job:
        """Let its documents wait; those in work are finished. Raises NotFound; BadRequest when it is over."""
        self.system.jobs.pause(self.job(job_id).id)
        return self.job(job_id)

    def resume_job(self, job_id: str) -> Job:
        """Let a paused run go on. Raises NotFound; BadRequest when it is over."""
        self.system.jobs.resume(self.job(job_id).id)
        return self._woken(job_id)

    def cancel_job(self, job_id: str) -> Job:
        """End a run; what it published stays. Raises NotFound; BadRequest when it is over."""
        self.system.jobs.cancel(self.job(job_id).id)
        self.system.queue.withdraw(job_id)
        return self.job(job_id)

    def retry_job(self, job_id: str) -> Job:
        """Try again what a run has quarantined. Raises NotFound."""
        self.system.queue.retry(self.job(job_id).id)
        return self._woken(job_id)

    def prioritise_job(self, job_id: str, priority: int) -> Job:
        """Let what it has still to do go before that of runs with a lower one; 0 is usual. Raises NotFound;
        BadRequest when it is over."""
        self.system.jobs.prioritise(self.job(job_id).id, priority)
        return self.job(job_id)

    def evaluate(
        self,
        dataset: str | Path,
        *,
        kind: Kind = "retrieval",
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
        seed: int = 1,
        progress: Progress | None = None,
    ) -> Record:
        """How well search finds what answers, or how right whole answers are, over a folder of questions.

        They are asked of a collection of this home, or of the data set's own corpus in a home that lasts as
        long; `progress` is told on another thread. Raises BadRequest for a data set that cannot be measured.
        """
        from rag.evaluation.library import evaluated
        from rag.sdk.evaluating import chosen

        benchmark = chosen(dataset, kind, limit, seed)
        named = tier_named(tier, self.system.tiers)
        return self._loop.run(
            evaluated(
                self.system.settings,
                benchmark,
                kind,
                tier=named,
                collection=collection,
                seed=seed,
                asking=progress,
            )
        )

    def whoami(self) -> Principal:
        """Who asks: the owner of the home."""
        return self.system.principal

    def _feed(self) -> None:
        """Index what is handed in, from the first time on."""
        if not self._feeding:
            self._loop.run(self._stack.enter_async_context(self.system.feeder.working()))
            self._feeding = True

    def _woken(self, job_id: str) -> Job:
        """A run that may go on, if it is one of documents handed in."""
        job = self.job(job_id)
        if job.source in ("", UPLOADS):
            self._feed()

            async def wake() -> None:
                self.system.feeder.wake(job_id)

            self._loop.run(wake())
        return job


async def pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    """A file piece by piece."""
    while data := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield data


def tier_named(name: str | None, tiers: Sequence[str]) -> str | None:
    """The tier of that name; None for auto. Raises UnknownModel."""
    if name is None or name == AUTO:
        return None
    if name not in tiers:
        raise UnknownModel(f"no tier {name!r}; have {', '.join((AUTO, *tiers))}")
    return str(name)
