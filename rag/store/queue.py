"""Which documents need work and who works on them. The rows of `documents` are the queue."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, select, update

from rag.store.catalog import VersionStatus, retire
from rag.store.database import Database, documents, versions
from rag.types import DocumentState, Principal

NAMESPACE = uuid.UUID("5f0c3f1e-6f0f-4d0e-9a53-3c8a2a6f7f11")
IN_WORK = (DocumentState.PARSING, DocumentState.EMBEDDING)


@dataclass(frozen=True, slots=True)
class Listed:
    """A document as its source shows it."""

    uri: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where documents of one run belong and who may read them. A changed `recipe` means: index again."""

    tenant: str
    collection: str
    groups: tuple[str, ...]
    recipe: str

    @classmethod
    def of(cls, principal: Principal, collection: str, groups: Sequence[str], recipe: str) -> Shelf:
        return cls(principal.tenant, collection, tuple(sorted(set(groups))), recipe)

    def document_id(self, uri: str) -> str:
        """The id of a document: the same for the same tenant, collection and uri."""
        return str(uuid.uuid5(NAMESPACE, "\0".join((self.tenant, self.collection, uri))))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a listing means. `gone` holds document ids; `quarantined`: set aside earlier, unchanged."""

    new: tuple[Listed, ...]
    changed: tuple[Listed, ...]
    unchanged: tuple[Listed, ...]
    quarantined: tuple[Listed, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A document that one worker has taken. `attempts` counts workers that died over it."""

    document_id: str
    uri: str
    sha256: str
    size_bytes: int
    tenant: str
    collection: str
    groups: tuple[str, ...]
    attempts: int


class Queue:
    """Plans, leases and failures. Any number of workers on any number of machines may pull."""

    def __init__(
        self, database: Database, *, owner: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.owner = owner or this_process()
        self._database, self._clock = database, clock

    def plan(self, listing: Sequence[Listed], shelf: Shelf, *, roots: Sequence[str] = ()) -> Plan:
        """Compare a source with the catalog. Documents under `roots` that it no longer lists are gone."""
        new, changed, unchanged, quarantined = [], [], [], []
        with self._database.reading() as connection:
            query = select(documents).where(
                documents.c.tenant == shelf.tenant, documents.c.collection == shelf.collection
            )
            known = {row.uri: row for row in connection.execute(query)}
        for item in listing:
            row = known.get(item.uri)
            if row is None:
                new.append(item)
            elif (row.sha256, tuple(row.groups), row.recipe) != (item.sha256, shelf.groups, shelf.recipe):
                changed.append(item)
            elif row.state == DocumentState.QUARANTINED:
                quarantined.append(item)
            else:
                unchanged.append(item)
        listed = {item.uri for item in listing}
        missing = (row for uri, row in known.items() if uri not in listed)
        gone = [row.id for row in missing if any(is_under(row.uri, root) for root in roots)]
        return Plan(tuple(new), tuple(changed), tuple(unchanged), tuple(quarantined), tuple(gone))

    def enqueue(self, items: Sequence[Listed], shelf: Shelf) -> None:
        """Ask for these documents to be indexed. What is live of them answers until the new version is."""
        with self._database.writing() as connection:
            for item in items:
                document_id = shelf.document_id(item.uri)
                wanted: dict[str, Any] = {
                    "sha256": item.sha256,
                    "recipe": shelf.recipe,
                    "groups": list(shelf.groups),
                    "size_bytes": item.size_bytes,
                    "state": DocumentState.PENDING,
                    "reason": "",
                    "attempts": 0,
                    "owner": None,
                    "lease_until": None,
                }
                # A worker that still fills a version of the old content will find it retired.
                retire(connection, document_id, VersionStatus.FILLING)
                done = connection.execute(
                    update(documents).where(documents.c.id == document_id).values(wanted)
                )
                if done.rowcount == 0:
                    identity = {
                        "id": document_id,
                        "tenant": shelf.tenant,
                        "collection": shelf.collection,
                        "uri": item.uri,
                    }
                    connection.execute(insert(documents).values(**identity, **wanted))

    def requeue(self, live_versions: Sequence[int]) -> int:
        """Index the documents of these live versions again, because the index lost some of their points."""
        with self._database.writing() as connection:
            done = connection.execute(
                update(documents)
                .where(documents.c.live_version.in_(live_versions), documents.c.state == DocumentState.LIVE)
                .values(state=DocumentState.PENDING, attempts=0)
            )
            return int(done.rowcount)

    def claim(self, *, lease_s: float) -> Claim | None:
        """Take one document that is pending, or whose worker is gone. None: nothing to do now."""
        with self._database.writing() as connection:
            row = connection.execute(
                select(documents).where(documents.c.state == DocumentState.PENDING).limit(1)
            ).first()
            orphaned = row is None
            if row is None:
                busy = connection.execute(select(documents).where(documents.c.state.in_(IN_WORK)))
                row = next((each for each in busy if self._is_orphan(each)), None)
            if row is None:
                return None
            connection.execute(
                update(documents)
                .where(documents.c.id == row.id)
                .values(
                    state=DocumentState.PARSING,
                    owner=self.owner,
                    lease_until=self._clock() + lease_s,
                    attempts=row.attempts + orphaned,
                )
            )
            return Claim(
                document_id=row.id,
                uri=row.uri,
                sha256=row.sha256,
                size_bytes=row.size_bytes,
                tenant=row.tenant,
                collection=row.collection,
                groups=tuple(row.groups),
                attempts=row.attempts + orphaned,
            )

    def advance(self, document_id: str, state: DocumentState) -> None:
        """Say where our document is on its way."""
        with self._database.writing() as connection:
            connection.execute(update(documents).where(self._is_ours(document_id)).values(state=state))

    def heartbeat(self, *, lease_s: float) -> None:
        """Extend the lease on everything this worker has claimed."""
        with self._database.writing() as connection:
            connection.execute(
                update(documents)
                .where(documents.c.owner == self.owner, documents.c.state.in_(IN_WORK))
                .values(lease_until=self._clock() + lease_s)
            )

    def release(self, document_id: str | None = None) -> None:
        """Give one claim back, or all of ours: the work stops for a reason that is not the document's."""
        with self._database.writing() as connection:
            connection.execute(
                update(documents)
                .where(self._is_ours(document_id))
                .values(state=DocumentState.PENDING, owner=None, lease_until=None)
            )

    def fail(self, document_id: str) -> int:
        """Give a claim back after a worker died over it; returns how many have."""
        with self._database.writing() as connection:
            ours = self._is_ours(document_id)
            connection.execute(
                update(documents)
                .where(ours)
                .values(
                    state=DocumentState.PENDING,
                    owner=None,
                    lease_until=None,
                    attempts=documents.c.attempts + 1,
                )
            )
            query = select(documents.c.attempts).where(documents.c.id == document_id)
            return int(connection.execute(query).scalar() or 0)

    def rehash(self, document_id: str, sha256: str) -> None:
        """The content changed between listing and reading: remember what was read."""
        with self._database.writing() as connection:
            connection.execute(update(documents).where(self._is_ours(document_id)).values(sha256=sha256))

    def reasons(self, document_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Uri and reason of documents that were set aside."""
        found = []
        with self._database.reading() as connection:
            for document_id in document_ids:
                query = select(documents.c.uri, documents.c.reason).where(documents.c.id == document_id)
                found += [(row.uri, row.reason) for row in connection.execute(query)]
        return found

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

    def _is_orphan(self, row: Row[Any]) -> bool:
        expired = row.lease_until is None or row.lease_until < self._clock()
        return row.owner is None or is_gone(row.owner) or (expired and row.owner != self.owner)

    def _is_ours(self, document_id: str | None) -> ColumnElement[bool]:
        ours = and_(documents.c.owner == self.owner, documents.c.state.in_(IN_WORK))
        return ours if document_id is None else and_(ours, documents.c.id == document_id)


def is_under(uri: str, root: str) -> bool:
    """Whether a uri is the root itself or lies below it."""
    return uri == root or uri.startswith(root.rstrip("/") + "/")


def this_process() -> str:
    """A name for this process that no later process can have: host, boot, pid, start time."""
    return f"{host()}:{os.getpid()}:{started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the owner surely does not run any more. Only known of processes on this machine."""
    where, pid, start = owner.rsplit(":", 2)
    return where == host() and started(int(pid)) != start


def host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip() if boot.exists() else ''}"


def started(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


__all__ = ["Claim", "Listed", "Plan", "Queue", "Shelf"]
