"""Which documents need work and who works on them. The rows of `documents` are the queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from rag.errors import LimitExceeded
from rag.store.catalog import remove_one
from rag.store.database import Database, batches
from rag.store.plan import Listed, Plan, Shelf, is_under, plan, reader_in
from rag.store.processes import is_gone, this_process
from rag.store.tables import documents, jobs, versions
from rag.store.versions import VersionStatus, retire
from rag.types import DocumentState, JobState

IN_WORK = (DocumentState.PARSING, DocumentState.EMBEDDING)
TO_DO = (DocumentState.PENDING, *IN_WORK)
HELD_BY = ("state", "worker", "lease_until")
HELD_JOBS = (JobState.PAUSED, JobState.CANCELLED)
UPLOADS = "upload"  # the source of documents that came over the API; we keep their bytes
# Taken from one file: archives in archives would else make a million documents of 200 KB.
MAX_PARTS = 10_000


class Until(StrEnum):
    """How long a document stays set aside."""

    CHANGED = "changed"
    NEXT_RUN = "next run"


@dataclass(frozen=True, slots=True)
class Claim:
    """A document that one worker has taken. `attempts` counts workers that died over it.

    `known_sha256`: the bytes of what is live and was indexed by the same recipe, else empty. `reader`: what
    reads it; empty: ours.
    """

    document_id: str
    uri: str
    name: str
    fingerprint: str
    sha256: str
    size_bytes: int
    tenant: str
    collection: str
    source: str
    parent: str | None
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    attempts: int
    job: str | None = None
    priority: int = 0
    known_sha256: str = ""
    reader: str = ""

    @property
    def rights(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Groups and labels as they were when it was claimed, which its points are given."""
        return self.groups, self.labels

    @property
    def is_kept(self) -> bool:
        """Whether its bytes are with us and not at a source; `fingerprint` is their digest then."""
        return self.parent is not None or self.source == UPLOADS


class Queue:
    """Plans, leases and failures. Any number of workers on any number of machines may pull."""

    def __init__(
        self, database: Database, *, worker: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.worker = worker or this_process()
        self._database, self._clock = database, clock

    def plan(
        self,
        listing: Sequence[Listed],
        shelf: Shelf,
        *,
        roots: Sequence[str] = (),
        deleted: Sequence[str] = (),
    ) -> Plan:
        """Compare a source with the catalog; see plan.py."""
        return plan(self._database, listing, shelf, roots=roots, deleted=deleted)

    def enqueue(
        self, items: Sequence[Listed], shelf: Shelf, *, job: str | None = None, priority: int = 0
    ) -> None:
        """Ask for these documents to be indexed. What is live of them answers until the new version is."""
        # Others write in between: a million documents in one transaction would keep them waiting for hours.
        for some in batches(items):
            with self._database.writing() as connection:
                for item in some:
                    put(connection, item, shelf, job=job, priority=priority)

    def regroup(self, items: Sequence[Listed], shelf: Shelf) -> None:
        """Give documents, and the parts in them, other readers. What narrows acts with this transaction."""
        with self._database.writing() as connection:
            for item in items:
                document_id = shelf.document_id(item.uri)
                rights = shelf.rights(item)
                for each in family(connection, document_id):
                    connection.execute(update(documents).where(documents.c.id == each).values(rights))

    def misgrouped(self, generation: int) -> dict[int, tuple[list[str], list[str]]]:
        """Live versions of a generation whose points still carry old rights, with the groups and labels they
        should have."""
        indexed = [cast(versions.c[name], Text) for name in ("groups", "labels")]
        wanted = [cast(documents.c[name], Text) for name in ("groups", "labels")]
        query = (
            select(versions.c.version, documents.c.groups, documents.c.labels)
            .join(documents, documents.c.live_version == versions.c.version)
            .where(versions.c.generation == generation)
            .where(or_(*(one != other for one, other in zip(indexed, wanted, strict=True))))
        )
        with self._database.reading() as connection:
            return {row.version: (row.groups, row.labels) for row in connection.execute(query)}

    def regrouped(self, rights: Mapping[int, tuple[list[str], list[str]]]) -> None:
        """The points of these versions carry these groups and labels now."""
        with self._database.writing() as connection:
            for version, (groups, labels) in rights.items():
                connection.execute(
                    update(versions).where(versions.c.version == version).values(groups=groups, labels=labels)
                )

    def requeue(self, live_versions: Sequence[int]) -> int:
        """Index the documents of these live versions again, because the index lost some of their points."""
        count = 0
        for some in batches(live_versions):
            with self._database.writing() as connection:
                # Without its recipe a version is no reason to skip the same bytes.
                connection.execute(update(versions).where(versions.c.version.in_(some)).values(recipe=""))
                done = connection.execute(
                    update(documents)
                    .where(documents.c.live_version.in_(some), documents.c.state == DocumentState.LIVE)
                    .values(state=DocumentState.PENDING, attempts=0, job=None)
                )
                count += int(done.rowcount)
        return count

    def claim(
        self, *, lease_s: float, sources: Collection[str] | None = None, job: str | None = None
    ) -> Claim | None:
        """Take one document that waits, or whose worker is gone; of these `sources` and `job` only, if given.

        The highest priority goes first. Documents of paused and cancelled jobs wait. None: nothing to do now.
        """
        taken = {
            "state": DocumentState.PARSING,
            "worker": self.worker,
            "lease_until": self._clock() + lease_s,
        }
        wanted = self._claimable(sources, job)
        with self._database.writing_beside_others() as connection:
            waiting = (
                select(documents.c.id)
                .where(documents.c.state == DocumentState.PENDING, *wanted)
                .order_by(documents.c.priority.desc())
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            take = update(documents).where(documents.c.id == waiting.scalar_subquery()).values(taken)
            row = connection.execute(take.returning(documents)).first()
            row = row or self._orphan(connection, wanted, taken)
            return claim_of(row, live_sha256(connection, row)) if row else None

    def look_at(self, document_ids: Sequence[str]) -> list[Claim]:
        """These documents as claims, without taking them: for an index that is built beside the live one."""
        with self._database.reading() as connection:
            return [
                claim_of(row, "")
                for some in batches(document_ids)
                for row in connection.execute(select(documents).where(documents.c.id.in_(some)))
            ]

    def waiting(self, sources: Collection[str] | None = None, job: str | None = None) -> tuple[int, int]:
        """How many documents of these sources wait or are in work, and their bytes as far as known."""
        query = select(func.count(), func.coalesce(func.sum(documents.c.size_bytes), 0)).where(
            documents.c.state.in_(TO_DO), *self._claimable(sources, job)
        )
        with self._database.reading() as connection:
            count, size = connection.execute(query).one()
            return int(count), int(size)

    def sources_waiting(self) -> dict[str, int]:
        """How many documents of each source wait for a run of it; of uploads and paths, for any run."""
        query = (
            select(documents.c.source, func.count())
            .where(documents.c.state.in_(TO_DO), *self._claimable(None, None))
            .group_by(documents.c.source)
        )
        with self._database.reading() as connection:
            return {source: count for source, count in connection.execute(query)}

    def held_back(self, source: str) -> dict[str, int]:
        """How many documents of a source wait in each paused job."""
        paused = jobs.c.state == JobState.PAUSED
        query = (
            select(documents.c.job, func.count())
            .join(jobs, jobs.c.id == documents.c.job)
            .where(paused, documents.c.source == source, documents.c.state.in_(TO_DO))
            .group_by(documents.c.job)
        )
        with self._database.reading() as connection:
            return {job: count for job, count in connection.execute(query)}

    def jobs_with_uploads(self) -> list[str | None]:
        """Jobs whose uploads wait for somebody, oldest first; None stands for uploads of no job.

        A job that another living process has is not among them.
        """
        columns: list[ColumnElement[Any]] = [jobs.c.worker.label("runner"), jobs.c.created_at]
        columns += [documents.c[name] for name in ("job", "state", "worker", "lease_until")]
        query = (
            select(*columns)
            .join(jobs, jobs.c.id == documents.c.job, isouter=True)
            .where(
                documents.c.source == UPLOADS,
                documents.c.state.in_(TO_DO),
                *self._claimable(None, None),
            )
            .order_by(jobs.c.created_at)
            .distinct()
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        free = [row for row in rows if row.state == DocumentState.PENDING or self._is_orphan(row)]
        return list(dict.fromkeys(row.job for row in free if self._is_free(row.runner)))

    def heartbeat(self, *, lease_s: float) -> None:
        """Extend the lease on everything this worker has claimed."""
        with self._database.writing() as connection:
            connection.execute(
                update(documents)
                .where(documents.c.worker == self.worker, documents.c.state.in_(IN_WORK))
                .values(lease_until=self._clock() + lease_s)
            )

    def release(self) -> None:
        """Give all our claims back: the work stops for a reason that is not the documents'."""
        with self._database.writing() as connection:
            ours = and_(documents.c.worker == self.worker, documents.c.state.in_(IN_WORK))
            connection.execute(
                update(documents)
                .where(ours)
                .values(state=DocumentState.PENDING, worker=None, lease_until=None)
            )

    def fail(self, claim: Claim) -> None:
        """Give a claim back after a worker died over it, and count that."""
        again = {"state": DocumentState.PENDING, "worker": None, "lease_until": None}
        with self._database.writing() as connection:
            counted = update(documents).where(*held(claim, self.worker))
            connection.execute(counted.values(**again, attempts=documents.c.attempts + 1))

    def unchanged(self, claim: Claim) -> None:
        """Only the looks of our document changed, not its bytes: what is live stays."""
        with self._database.writing() as connection:
            connection.execute(
                update(documents)
                .where(*held(claim, self.worker))
                .values(
                    state=DocumentState.LIVE, reason="", attempts=0, worker=None, lease_until=None, job=None
                )
            )

    def set_aside(self, claim: Claim, reason: str, *, until: Until = Until.CHANGED) -> bool:
        """Quarantine a document that is ours with the reason. Its last live version keeps answering.

        False, and nothing changes, when the claim was taken away: there is newer content that nobody tried.
        """
        values = {"state": DocumentState.QUARANTINED, "reason": reason, "worker": None, "lease_until": None}
        # Without a fingerprint the next run sees it as changed.
        values |= {"fingerprint": ""} if until is Until.NEXT_RUN and not claim.is_kept else {}
        with self._database.writing() as connection:
            ours = update(documents).where(*held(claim, self.worker)).values(values)
            if connection.execute(ours).rowcount == 0:
                return False
            retire(connection, claim.document_id, VersionStatus.FILLING)
            return True

    def vanished(self, claim: Claim) -> bool | None:
        """Our document is not at its source any more; whether it was forgotten. None: it is not ours now.

        One that answers goes on until a listing of the source says that it is gone: a source that is cut off
        while it is read looks just like that.
        """
        with self._database.writing() as connection:
            ours = held(claim, self.worker)
            row = connection.execute(select(documents.c.live_version).where(*ours)).first()
            if row is None:
                return None
            if row.live_version is None:
                remove_one(connection, claim.document_id)
                return True
            keep_live(connection, claim.document_id)
            return False

    def retry(self, job: str | None = None) -> int:
        """Let quarantined documents wait again, all or those of a job; how many."""
        with self._database.writing() as connection:
            condition = [documents.c.state == DocumentState.QUARANTINED]
            condition += [documents.c.job == job] if job else []
            # With a cancelled run they would wait for ever.
            over = documents.c.job.in_(select(jobs.c.id).where(jobs.c.state == JobState.CANCELLED))
            again = {"state": DocumentState.PENDING, "reason": "", "attempts": 0}
            again["job"] = case((over, None), else_=documents.c.job)
            return int(connection.execute(update(documents).where(*condition).values(again)).rowcount)

    def withdraw(self, job: str) -> int:
        """Take back what a job still has to do: what is live stays so, what never was goes. How many."""
        with self._database.writing() as connection:
            query = select(documents.c.id, documents.c.live_version, documents.c.parent).where(
                documents.c.job == job, documents.c.state.in_(TO_DO)
            )
            rows = connection.execute(query).all()
            for row in rows:
                read_again(connection, row.parent)
                if row.live_version is None:
                    remove_one(connection, row.id)
                else:
                    keep_live(connection, row.id)
            return len(rows)

    def withdraw_cancelled(self) -> None:
        """Take back what cancelled jobs still have to do, because they were killed before they did it."""
        query = select(documents.c.job).join(jobs, jobs.c.id == documents.c.job).distinct()
        query = query.where(documents.c.state.in_(TO_DO), jobs.c.state == JobState.CANCELLED)
        with self._database.reading() as connection:
            left = connection.execute(query).scalars().all()
        for job in left:
            self.withdraw(job)

    def reasons(self, document_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Uri and reason of documents that were set aside."""
        columns = (documents.c.uri, documents.c.reason)
        with self._database.reading() as connection:
            return [
                (uri, reason)
                for some in batches(document_ids)
                for uri, reason in connection.execute(select(*columns).where(documents.c.id.in_(some)))
            ]

    def retire_orphans(self) -> None:
        """Retire half-filled versions whose worker is gone, so that their points can be deleted."""
        with self._database.writing() as connection:
            query = (
                select(versions.c.document_id, documents)
                .join(documents, documents.c.id == versions.c.document_id, isouter=True)
                .where(versions.c.status == VersionStatus.FILLING)
            )
            for row in connection.execute(query).all():
                if row.state not in IN_WORK or self._is_orphan(row):
                    retire(connection, row.document_id, VersionStatus.FILLING)

    def _orphan(
        self, connection: Connection, wanted: Sequence[ColumnElement[bool]], taken: Mapping[str, Any]
    ) -> Row[Any] | None:
        """Take a document whose worker is gone, unless another took it since we looked."""
        busy = connection.execute(select(documents).where(documents.c.state.in_(IN_WORK), *wanted)).all()
        for row in busy:
            if self._is_orphan(row):
                seen = (documents.c[name].is_not_distinct_from(getattr(row, name)) for name in HELD_BY)
                take = update(documents).where(documents.c.id == row.id, *seen)
                take = take.values(**taken, attempts=documents.c.attempts + 1)
                return connection.execute(take.returning(documents)).first()
        return None

    def _claimable(self, sources: Collection[str] | None, job: str | None) -> list[ColumnElement[bool]]:
        """Conditions on documents: of these sources or inside one of ours, and of no job that is held."""
        held = select(jobs.c.id).where(jobs.c.state.in_(HELD_JOBS))
        conditions = [or_(documents.c.job.is_(None), documents.c.job.not_in(held))]
        conditions += [documents.c.job == job] if job else []
        if sources is not None:
            kept = or_(documents.c.parent.is_not(None), documents.c.source == UPLOADS)
            conditions.append(or_(documents.c.source.in_(sources), kept))
        return conditions

    def _is_orphan(self, row: Row[Any]) -> bool:
        expired = row.lease_until is None or row.lease_until < self._clock()
        return row.worker is None or is_gone(row.worker) or (expired and row.worker != self.worker)

    def _is_free(self, runner: str | None) -> bool:
        return runner is None or runner == self.worker or is_gone(runner)


def held(claim: Claim, worker: str) -> list[ColumnElement[bool]]:
    """Conditions on documents: the claim is still that of the worker, and for this content.

    Content that came meanwhile may be in work in the same process; whoever has read the old one must not
    answer for it.
    """
    seen = (documents.c.id == claim.document_id, documents.c.fingerprint == claim.fingerprint)
    return [*seen, documents.c.worker == worker, documents.c.state.in_(IN_WORK)]


def read_again(connection: Connection, container: str | None) -> None:
    """Let the next run read a container and those around it, since a part that they brought was given up."""
    while container is not None:
        row = connection.execute(select(documents).where(documents.c.id == container)).first()
        if row is None:
            return
        # Without its recipe a version is no reason to skip the same bytes.
        connection.execute(update(versions).where(versions.c.version == row.live_version).values(recipe=""))
        settled = (documents.c.id == container, documents.c.state == DocumentState.LIVE)
        connection.execute(update(documents).where(*settled).values(fingerprint=""))
        container = row.parent


def keep_live(connection: Connection, document_id: str) -> None:
    """What is live of a document stays; the next run sees it as changed, since it has no fingerprint."""
    retire(connection, document_id, VersionStatus.FILLING)
    settled = {"state": DocumentState.LIVE, "fingerprint": "", "worker": None, "lease_until": None}
    connection.execute(update(documents).where(documents.c.id == document_id).values(settled))


def put(
    connection: Connection,
    item: Listed,
    shelf: Shelf,
    *,
    job: str | None,
    priority: int,
    parent: str | None = None,
) -> None:
    """Let one document wait."""
    document_id = shelf.document_id(item.uri)
    wanted: dict[str, Any] = {
        "fingerprint": item.fingerprint,
        "name": item.name,
        "source": shelf.source,
        "recipe": shelf.recipe_of(item),
        **shelf.rights(item),
        "size_bytes": item.size_bytes,
        "state": DocumentState.PENDING,
        "reason": "",
        "attempts": 0,
        "job": job,
        "priority": priority,
        "worker": None,
        "lease_until": None,
    }
    # A worker that still fills a version of the old content will find it retired.
    retire(connection, document_id, VersionStatus.FILLING)
    done = connection.execute(update(documents).where(documents.c.id == document_id).values(wanted))
    # Parts of bytes that did not change are not read again: whoever may not read the whole may not read them.
    for part in family(connection, document_id)[1:] if done.rowcount else ():
        belonging = {"source": shelf.source, **shelf.rights(item)}
        connection.execute(update(documents).where(documents.c.id == part).values(belonging))
    if done.rowcount == 0:
        identity = {
            "id": document_id,
            "tenant": shelf.tenant,
            "collection": shelf.collection,
            "uri": item.uri,
            "parent": parent,
            "sha256": "",
        }
        connection.execute(insert(documents).values(**identity, **wanted))


def replace_parts(connection: Connection, claim: Claim, parts: Sequence[Listed], recipe: str) -> list[str]:
    """Make these the parts of a container: new and changed ones wait, others go. Ids of those gone.

    Raises LimitExceeded when the file that they came with would hold more than MAX_PARTS.
    """
    check_parts(connection, claim, parts)
    shelf = Shelf(claim.tenant, claim.collection, claim.groups, recipe, claim.labels, claim.source)
    query = select(documents).where(documents.c.parent == claim.document_id)
    known = {row.uri: row for row in connection.execute(query)}
    for part in parts:
        row = known.pop(part.uri, None)
        if row is None or (row.fingerprint, row.recipe) != (part.fingerprint, shelf.recipe_of(part)):
            put(connection, part, shelf, job=claim.job, priority=claim.priority, parent=claim.document_id)
    for row in known.values():
        remove_one(connection, row.id)
    return [row.id for row in known.values()]


def check_parts(connection: Connection, claim: Claim, parts: Sequence[Listed]) -> None:
    """Raises LimitExceeded when a part of a file brings more documents than one file may."""
    if claim.parent is None or not parts:
        return
    root: str = claim.parent
    while above := connection.execute(select(documents.c.parent).where(documents.c.id == root)).scalar():
        root = above
    here = len(family(connection, root)) - len(family(connection, claim.document_id)) + len(parts)
    if here > MAX_PARTS:
        raise LimitExceeded(
            f"with its {len(parts)} documents the file that it came with would hold {here}, "
            f"the limit is {MAX_PARTS}"
        )


def family(connection: Connection, document_id: str) -> list[str]:
    """A document and all parts in it, however deep."""
    found, todo = [], [document_id]
    while todo:
        found += todo
        query = select(documents.c.id).where(documents.c.parent.in_(todo))
        todo = list(connection.execute(query).scalars())
    return found


def claim_of(row: Row[Any], known_sha256: str) -> Claim:
    return Claim(
        document_id=row.id,
        uri=row.uri,
        name=row.name,
        fingerprint=row.fingerprint,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        tenant=row.tenant,
        collection=row.collection,
        source=row.source,
        parent=row.parent,
        groups=tuple(row.groups),
        labels=tuple(row.labels),
        attempts=row.attempts,
        job=row.job,
        priority=row.priority,
        known_sha256=known_sha256,
        reader=reader_in(row.recipe),
    )


def live_sha256(connection: Connection, row: Row[Any]) -> str:
    """The bytes of the live version of a document; empty when none, or when it must be indexed again."""
    if row.live_version is None:
        return ""
    query = select(versions.c.sha256, versions.c.recipe).where(versions.c.version == row.live_version)
    live = connection.execute(query).first()
    return live.sha256 if live and live.recipe == row.recipe else ""


__all__ = ["Claim", "Listed", "Plan", "Queue", "Shelf", "is_under"]
