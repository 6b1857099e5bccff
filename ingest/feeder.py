"""Takes in documents that are sent to us, and has them indexed, one job after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ingest.pipeline import Pipeline
from ingest.processing import READING
from ingest.run import Wanted, begin
from ingest.upload import EVERYONE, Upload, uri_of
from rag.errors import BadRequest, Forbidden, NotFound, Overloaded, QuotaExceeded
from rag.store.originals import Originals
from rag.store.queue import UPLOADS, Listed, Shelf, put
from rag.store.tables import documents
from rag.types import JobState, Principal, Right

GATHER_S = 0.5  # what arrives within this time becomes one job
POLL_S = 5.0  # how often we look for what other processes left or resumed
BACK_OFF_S = (1.0, 5.0, 15.0, 60.0)
MAX_AT_ONCE = 16
MAX_LABELS, MAX_LABEL = 32, 100
logger = logging.getLogger("rag.feeder")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an upload: the job that indexes it, and the ids of its documents."""

    job: str
    documents: tuple[str, ...]


class Feeder:
    """Uploads go through `receiving` and `submit`; `working` is the task that indexes them."""

    def __init__(
        self, pipeline: Pipeline, *, check_room: Callable[[str, int, int], None] = lambda *_: None
    ) -> None:
        """`check_room`: raises QuotaExceeded if a tenant lacks room for so many bytes and documents more."""
        self._pipeline, self._check_room = pipeline, check_room
        self._originals = Originals(pipeline.settings.home)
        self._gathering: dict[Wanted, str] = {}
        self._asked: set[str] = set()
        self._receiving = 0
        self._agreed = False
        self._woken = asyncio.Event()
        self._entering = asyncio.Lock()
        # Two runs of one process would give back each other's claims.
        self.turn = asyncio.Lock()

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Upload]:
        """A place for the files of one request. Raises Overloaded when too many are on their way."""
        if self._receiving >= MAX_AT_ONCE:
            raise Overloaded(f"{MAX_AT_ONCE} uploads are on their way; try again when one is through")
        settings = self._pipeline.settings
        upload = Upload(
            self._originals,
            max_file_bytes=settings.ingest.max_file_bytes,
            min_free_bytes=settings.store.min_free_bytes,
        )
        self._receiving += 1
        try:
            yield upload
        finally:
            self._receiving -= 1
            await asyncio.to_thread(upload.discard)

    async def submit(
        self,
        upload: Upload,
        principal: Principal,
        *,
        collection: str = "default",
        groups: Sequence[str] = (),
        labels: Sequence[str] = (),
    ) -> Accepted:
        """Let the files of an upload wait to be indexed; without `groups` for everyone, if the sender is one.

        Raises BadRequest for a collection, group or label that cannot be given, Forbidden for a name that is
        another's, QuotaExceeded when the tenant has no room.
        """
        if not upload.drafts:
            raise BadRequest("the request brings no file")
        wanted = wanted_of(principal, collection, groups, labels)
        async with self._entering:
            accepted = await asyncio.to_thread(self._accept, upload, wanted)
        self.wake()
        return accepted

    def wake(self, job: str | None = None) -> None:
        """There is something to do; `job`: go on with this one, whoever started it."""
        if job:
            self._asked.add(job)
        self._woken.set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Index what waits, now and later, until the block is left."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _work(self) -> None:
        failures = 0
        while True:
            failures = 0 if await self._do_what_waits() else failures + 1
            if failures:
                await asyncio.sleep(BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1])
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            await asyncio.sleep(GATHER_S)

    async def _do_what_waits(self) -> bool:
        """Every job that has something to do, once; whether all went well. One that fails stops no other."""
        self._woken.clear()
        good = True
        try:
            async with self._entering:
                waiting = await asyncio.to_thread(self._pipeline.queue.jobs_with_uploads)
                await asyncio.to_thread(self._end_empty)
        except Exception:  # a loop that must not end: recorded, and tried again later
            logger.exception("uploads cannot be looked up")
            return False
        for job in dict.fromkeys([*waiting, *self._asked]):
            try:
                await self._do(job)
            except Exception:
                logger.exception("a job failed", extra={"fields": {"job": job}})
                good = self._agreed = False
        return good

    def _end_empty(self) -> None:
        """End jobs whose documents were deleted, or sent again in another job, before their turn came."""
        for wanted, job in list(self._gathering.items()):
            running = self._pipeline.jobs.state(job) is JobState.RUNNING
            if running and not self._pipeline.queue.waiting({UPLOADS}, job)[0]:
                del self._gathering[wanted]
                self._pipeline.jobs.finish(job)

    async def _do(self, job: str | None) -> None:
        async with self._entering:
            self._gathering = {wanted: each for wanted, each in self._gathering.items() if each != job}
        async with self.turn:
            if not self._agreed:
                await self._pipeline.reconcile()
                self._agreed = True
            await self._pipeline.work(job=job)
        self._asked.discard(job or "")

    def _accept(self, upload: Upload, wanted: Wanted) -> Accepted:
        job = self._job(wanted)
        try:
            return Accepted(job, self._enter(upload, wanted, job))
        except (Forbidden, QuotaExceeded):
            if not self._pipeline.queue.waiting({UPLOADS}, job)[0]:
                self._pipeline.jobs.finish(job, "nothing was taken in")
            raise

    def _job(self, wanted: Wanted) -> str:
        """The job of those that still gather, or a new one."""
        job = self._gathering.get(wanted)
        with contextlib.suppress(NotFound):
            if job and self._pipeline.jobs.state(job) is JobState.RUNNING:
                return job
        job = begin(self._pipeline.jobs, shelf_of(wanted), wanted)
        self._gathering[wanted] = job
        return job

    def _enter(self, upload: Upload, wanted: Wanted, job: str) -> tuple[str, ...]:
        """Keep the bytes and let the documents wait: in one transaction, or the bytes could be swept up."""
        shelf = shelf_of(wanted)
        ids = []
        with self._pipeline.catalog.database.writing() as connection:
            # While we hold the write lock nobody else enters anything, so what fits now fits still below.
            self._check_room(wanted.principal.tenant, *growth(connection, upload, wanted))
            for draft in upload.drafts:
                uri = uri_of(wanted.collection, wanted.groups, draft.name)
                owner = owner_of(connection, shelf.document_id(uri), wanted.principal, draft.name)
                self._originals.place(draft.path, draft.sha256)
                reader = self._pipeline.plugins.reader_of(draft.name)
                item = Listed(uri, draft.sha256, draft.size_bytes, draft.name, owner=owner, reader=reader)
                put(connection, item, shelf, job=job, priority=wanted.priority)
                ids.append(shelf.document_id(uri))
        return tuple(ids)


def shelf_of(wanted: Wanted) -> Shelf:
    """Where uploads of one kind belong."""
    return Shelf.of(
        wanted.principal, wanted.collection, wanted.groups, READING, labels=wanted.labels, source=UPLOADS
    )


def growth(connection: Connection, upload: Upload, wanted: Wanted) -> tuple[int, int]:
    """Bytes and documents that an upload adds to those there are; what it replaces makes room."""
    shelf, size, more = shelf_of(wanted), 0, 0
    for draft in upload.drafts:
        document_id = shelf.document_id(uri_of(wanted.collection, wanted.groups, draft.name))
        held = connection.execute(
            select(documents.c.size_bytes).where(documents.c.id == document_id)
        ).scalar()
        size += draft.size_bytes - (held or 0)
        more += held is None
    return size, more


def owner_of(connection: Connection, document_id: str, sender: Principal, name: str) -> str:
    """Whose the document is that is sent now. Raises Forbidden for one of others that the sender replaces."""
    owner = connection.execute(select(documents.c.owner).where(documents.c.id == document_id)).scalar()
    if owner is None:
        return sender.user
    if owner != sender.user and not sender.may(Right.CURATE):
        raise Forbidden(f"{name!r} is there already and not yours: send it under another name")
    return str(owner)


def wanted_of(
    principal: Principal, collection: str, groups: Collection[str], labels: Collection[str]
) -> Wanted:
    """What a sender asks for, checked. Raises BadRequest that names what cannot be given."""
    if not is_plain(collection) or "/" in collection:
        raise BadRequest(f"{collection[:100]!r} cannot be the name of a collection")
    if len(labels) > MAX_LABELS or not all(map(is_plain, labels)):
        raise BadRequest(f"at most {MAX_LABELS} labels of at most {MAX_LABEL} characters can be given")
    if not principal.may_see(collection):
        raise BadRequest(f"your key is not for the collection {collection!r}")
    if foreign := sorted(set(groups) - set(principal.groups)):
        raise BadRequest(f"you are not in the group {foreign[0][:100]!r}; documents go to groups of your own")
    usual = EVERYONE if set(EVERYONE) <= set(principal.groups) else principal.groups
    readers = tuple(sorted(set(groups or usual)))
    return Wanted(principal, collection, readers, tuple(sorted(set(labels))))


def is_plain(word: str) -> bool:
    """Whether a word can be a name: something, not too long, and all of it visible."""
    return 0 < len(word.strip()) <= MAX_LABEL >= len(word) and word.isprintable()
