"""Runs of ingestion: what each was asked for, how far it is, and whether it may go on."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, false, func, insert, select, update

from rag.errors import BadRequest, NotFound
from rag.store.database import Database
from rag.store.processes import is_gone, this_process
from rag.store.queue import HELD_JOBS, TO_DO
from rag.store.tables import cursors, documents, jobs
from rag.types import DocumentState, JobState, Principal, Right

OPEN = (JobState.RUNNING, JobState.PAUSED)
REMEMBERED = 1000  # runs; older ones that no document belongs to are forgotten


@dataclass(frozen=True, slots=True)
class Job:
    """One run.

    `wanted`: what was asked for, and the `user` who did; `plan`: counts of its comparison with the catalog;
    `progress`: counts and seconds so far; `waiting`: its documents still to do; `alive`: whether a process
    works on it.
    """

    id: str
    tenant: str
    collection: str
    source: str
    state: JobState
    priority: int
    wanted: Mapping[str, Any]
    plan: Mapping[str, Any]
    progress: Mapping[str, Any]
    error: str
    created_at: float
    finished_at: float | None
    waiting: int
    quarantined: int
    alive: bool


class Jobs:
    """The runs of one home. Each method is one short transaction; any process may call it."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock
        self._worker = this_process()

    def start(
        self,
        principal: Principal,
        collection: str,
        source: str,
        wanted: Mapping[str, Any],
        *,
        priority: int = 0,
    ) -> str:
        """Enter a run that this process does for the principal; its id."""
        job = f"job-{secrets.token_hex(5)}"
        with self._database.writing() as connection:
            connection.execute(
                insert(jobs).values(
                    id=job,
                    tenant=principal.tenant,
                    collection=collection,
                    source=source,
                    wanted={**wanted, "user": principal.user},
                    state=JobState.RUNNING,
                    priority=priority,
                    plan={},
                    progress={},
                    error="",
                    created_at=self._clock(),
                    worker=self._worker,
                )
            )
        return job

    def reopen(self, job: str) -> Mapping[str, Any]:
        """This process goes on with a run, unless that is held; the progress it had. Raises NotFound."""
        mine = {"worker": self._worker, "finished_at": None}
        with self._database.writing() as connection:
            found = connection.execute(select(jobs.c.progress).where(jobs.c.id == job)).first()
            if found is None:
                raise unknown(job)
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job, jobs.c.state.not_in(HELD_JOBS))
                .values(**mine, state=JobState.RUNNING, error="")
            )
            return dict(found.progress)

    def report(self, job: str, **fields: Mapping[str, Any]) -> JobState:
        """Note how far a run is (`plan`, `progress`); its state, which others may have changed."""
        with self._database.writing() as connection:
            values = {name: dict(value) for name, value in fields.items()}
            connection.execute(update(jobs).where(jobs.c.id == job).values(worker=self._worker, **values))
            return JobState(connection.execute(select(jobs.c.state).where(jobs.c.id == job)).scalar_one())

    def state(self, job: str) -> JobState:
        """Where a run is. Raises NotFound."""
        with self._database.reading() as connection:
            found = connection.execute(select(jobs.c.state).where(jobs.c.id == job)).scalar()
        if found is None:
            raise unknown(job)
        return JobState(found)

    def finish(self, job: str, error: str = "") -> None:
        """A run is over; one that was cancelled or is paused stays what it is."""
        state = JobState.FAILED if error else JobState.DONE
        with self._database.writing() as connection:
            connection.execute(
                update(jobs).where(jobs.c.id == job).values(finished_at=self._clock(), worker=None)
            )
            running = (jobs.c.id == job, jobs.c.state == JobState.RUNNING)
            connection.execute(update(jobs).where(*running).values(state=state, error=error))

    def pause(self, job: str) -> None:
        """Let its documents wait; those in work are finished. Raises NotFound; BadRequest when it is over."""
        self._turn(job, JobState.PAUSED)

    def resume(self, job: str) -> None:
        """Let a paused run go on. Raises NotFound or BadRequest."""
        self._turn(job, JobState.RUNNING)

    def cancel(self, job: str) -> None:
        """End a run; what it published stays. Raises NotFound, or BadRequest when it is over."""
        self._turn(job, JobState.CANCELLED)

    def prioritise(self, job: str, priority: int) -> None:
        """Let what it still has to do go before that of jobs with a lower priority. Raises as `pause`."""
        self._check_open(job, "given another priority")
        with self._database.writing() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job).values(priority=priority))
            waiting = (documents.c.job == job, documents.c.state.in_(TO_DO))
            connection.execute(update(documents).where(*waiting).values(priority=priority))

    def bury(self) -> None:
        """Mark the runs whose process is gone; what they left to do is done by the next one."""
        with self._database.writing() as connection:
            forget_old(connection)
            query = select(jobs.c.id, jobs.c.worker).where(jobs.c.state == JobState.RUNNING)
            for row in connection.execute(query).all():
                if row.worker is None or is_gone(row.worker):
                    ended = {"state": JobState.FAILED, "error": "its process ended; the next run goes on"}
                    connection.execute(
                        update(jobs)
                        .where(jobs.c.id == row.id)
                        .values(**ended, finished_at=self._clock(), worker=None)
                    )

    def get(self, job: str, principal: Principal) -> Job:
        """One run. Raises NotFound, also for one that the principal may not see."""
        found = self._read(principal, 1, jobs.c.id == job)
        if not found:
            raise unknown(job)
        return found[0]

    def all(self, principal: Principal, *, limit: int = 1000) -> list[Job]:
        """The runs that the principal may see, newest first: his own, for an operator those of the tenant."""
        return self._read(principal, limit)

    def _read(self, principal: Principal, limit: int, *conditions: ColumnElement[bool]) -> list[Job]:
        shown = (*open_to(principal), *conditions)
        query = select(jobs).where(*shown).order_by(jobs.c.created_at.desc()).limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            counts = (
                select(documents.c.job, documents.c.state, func.count())
                .where(documents.c.job.in_([row.id for row in rows]))
                .group_by(documents.c.job, documents.c.state)
            )
            count: dict[tuple[str, str], int] = {
                (job, state): number for job, state, number in connection.execute(counts)
            }
        return [job_of(row, count) for row in rows]

    def cursor(self, tenant: str, collection: str, source: str) -> str:
        """Where the last finished run of a source ended; empty when there was none."""
        query = select(cursors.c.cursor).where(*here(tenant, collection, source))
        with self._database.reading() as connection:
            return str(connection.execute(query).scalar() or "")

    def move_cursor(self, tenant: str, collection: str, source: str, cursor: str) -> None:
        """A run of a source is planned to its end: the next one starts there."""
        with self._database.writing() as connection:
            values = {"cursor": cursor, "synced_at": self._clock()}
            place = here(tenant, collection, source)
            if connection.execute(update(cursors).where(*place).values(values)).rowcount == 0:
                names = {"tenant": tenant, "collection": collection, "source": source}
                connection.execute(insert(cursors).values(**names, **values))

    def _turn(self, job: str, state: JobState) -> None:
        self._check_open(job, state)
        with self._database.writing() as connection:
            connection.execute(
                update(jobs).where(jobs.c.id == job, jobs.c.state.in_(OPEN)).values(state=state)
            )

    def _check_open(self, job: str, deed: str) -> None:
        now = self.state(job)
        if now not in OPEN:
            raise BadRequest(f"job {job} is {now} and cannot be {deed}")


def unknown(job: str) -> NotFound:
    return NotFound(f"no job {job!r}; `rag jobs` lists them")


def open_to(principal: Principal) -> Iterator[ColumnElement[bool]]:
    """Which runs somebody may see."""
    yield jobs.c.tenant == principal.tenant
    if principal.collections is not None:
        yield jobs.c.collection.in_(principal.collections)
    if not principal.may(Right.OPERATE):
        own = jobs.c.wanted["user"].as_string() == principal.user
        yield own if principal.user else false()


def forget_old(connection: Connection) -> None:
    """Delete the rows of runs that are long over."""
    newest = select(jobs.c.id).order_by(jobs.c.created_at.desc()).limit(REMEMBERED)
    wanted = select(documents.c.job).where(documents.c.job.is_not(None))
    over = (jobs.c.state.not_in(OPEN), jobs.c.id.not_in(newest), jobs.c.id.not_in(wanted))
    connection.execute(delete(jobs).where(*over))


def here(tenant: str, collection: str, source: str) -> tuple[Any, ...]:
    return (
        cursors.c.tenant == tenant,
        cursors.c.collection == collection,
        cursors.c.source == source,
    )


def job_of(row: Row[Any], count: Mapping[tuple[str, str], int]) -> Job:
    return Job(
        id=row.id,
        tenant=row.tenant,
        collection=row.collection,
        source=row.source,
        state=JobState(row.state),
        priority=row.priority,
        wanted=row.wanted,
        plan=row.plan,
        progress=row.progress,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
        waiting=sum(count.get((row.id, state), 0) for state in TO_DO),
        quarantined=count.get((row.id, DocumentState.QUARANTINED), 0),
        alive=row.worker is not None and not is_gone(row.worker),
    )
