"""What documents exist, which version of each is live, and the text of chunks. Work to do is in queue.py."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    cast,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)

from rag.errors import IndexUnavailable
from rag.store.database import Database, batches
from rag.store.generations import GenerationState
from rag.store.tables import chunks, documents, generations, versions
from rag.store.versions import (
    ANSWERING,
    COMPLETE,
    Description,
    VersionStatus,
    add_chunks,
    add_version,
    retire,
    retire_where,
)
from rag.types import Box, Chunk, Document, DocumentState, Principal


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with the document it was cut from."""

    chunk: Chunk
    document: Document


def by_ids(chunk_ids: Sequence[str], tenant: str) -> Select[Any]:
    """The chunks of these ids that are live, with version and document, of one tenant."""
    return (
        select(chunks, *COLUMNS)
        .join(versions, versions.c.version == chunks.c.version)
        .join(documents, documents.c.id == versions.c.document_id)
        .where(
            chunks.c.id.in_(chunk_ids),
            # As expressions, so that SQLite does not begin with an index on them and walk over every chunk.
            documents.c.tenant.concat("") == tenant,
            versions.c.status.concat("").in_(ANSWERING),
        )
    )


class Catalog:
    """The documents of one home. Every method is one short transaction; safe to use from many threads.

    `url`: a Postgres database that holds them instead of the file in the home.
    """

    def __init__(self, home: Path, url: str = "") -> None:
        self.home = home
        self.database = Database(home, url)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def passages(self, chunk_ids: Sequence[str], principal: Principal) -> dict[str, StoredChunk]:
        """The chunks of these ids that are live and that the principal may read."""
        found: dict[str, StoredChunk] = {}
        with self.database.reading() as connection:
            for wanted in batches(chunk_ids):
                for row in connection.execute(by_ids(wanted, principal.tenant)):
                    if may_read(row, principal):
                        found[row.id] = StoredChunk(chunk_of(row), document_of(row))
        return found

    def neighbours(self, chunk_ids: Sequence[str], principal: Principal) -> dict[str, list[StoredChunk]]:
        """The chunks right before and right behind each of these, in the same section of its document."""
        own, near = chunks, chunks.alias("near")
        query = (
            select(own.c.id.label("anchor"), near.c.id)
            .join(near, near.c.version == own.c.version)
            .where(
                own.c.id.in_(chunk_ids),
                near.c.section == own.c.section,
                near.c.ordinal.in_((own.c.ordinal - 1, own.c.ordinal + 1)),
            )
            .order_by(near.c.ordinal)
        )
        with self.database.reading() as connection:
            pairs = [(anchor, key) for anchor, key in connection.execute(query)]
        readable = self.passages([key for _, key in pairs], principal)
        found: dict[str, list[StoredChunk]] = {}
        for anchor, key in pairs:
            if key in readable:
                found.setdefault(anchor, []).append(readable[key])
        return found

    def chunks(self, version: int, *, after: int = -1, limit: int | None = None) -> list[Chunk]:
        """The chunks of a version in order, behind an ordinal. For feeding: it checks no permission."""
        query = select(chunks).where(chunks.c.version == version, chunks.c.ordinal > after)
        query = query.order_by(chunks.c.ordinal).limit(limit)
        with self.database.reading() as connection:
            return [chunk_of(row) for row in connection.execute(query)]

    def document(self, document_id: str, principal: Principal) -> Document | None:
        """One document; None when there is none or the principal may not read it."""
        found = self._select(principal, documents.c.id == document_id)
        return found[0] if found else None

    def documents(
        self,
        principal: Principal,
        *,
        collection: str | None = None,
        state: DocumentState | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> list[Document]:
        """The documents that the principal may read, by uri and id; `limit` of them behind `after`."""
        place = tuple_(documents.c.uri, documents.c.id)
        conditions: list[ColumnElement[bool]] = []
        conditions += [documents.c.collection == collection] if collection else []
        conditions += [documents.c.state == state] if state else []
        conditions += [place > tuple_(*map(literal, after))] if after else []
        return self._select(principal, *conditions, limit=limit)

    def counts(self, principal: Principal | None = None) -> dict[DocumentState, int]:
        """How many documents are in each state: of those the principal may read, without one of all."""
        # One row for each shelf and its readers, of which there are few, however many documents there are.
        # Postgres compares JSON only as text.
        wanted, indexed = (cast(each, Text) for each in (documents.c.groups, versions.c.groups))
        shelf = (documents.c.state, documents.c.collection, wanted, indexed)
        query = (
            select(*shelf, func.count())
            .join(versions, versions.c.version == documents.c.live_version, isouter=True)
            .group_by(*shelf)
        )
        if principal:
            query = query.where(documents.c.tenant == principal.tenant)
        found = dict.fromkeys(DocumentState, 0)
        with self.database.reading() as connection:
            for state, collection, now, then, count in connection.execute(query):
                readers = json.loads(now), json.loads(then) if then else None
                if principal is None or is_open(principal, collection, *readers):
                    found[DocumentState(state)] += count
        return found

    def languages(self) -> dict[str, int]:
        """How many live documents are in each language (ISO 639-1), as far as it is known."""
        query = (
            select(versions.c.language, func.count())
            .where(versions.c.status == VersionStatus.LIVE, versions.c.language != "")
            .group_by(versions.c.language)
        )
        with self.database.reading() as connection:
            return {language: int(count) for language, count in connection.execute(query)}

    def live_versions(self) -> dict[int, int]:
        """Live version -> its chunk count; the index must hold as many points of it."""
        return self._complete(versions.c.status == VersionStatus.LIVE)

    def complete_versions(self, generation: int) -> dict[int, int]:
        """Complete version -> its chunk count, of one generation, whether it is live, built or kept."""
        return self._complete(versions.c.generation == generation, versions.c.status.in_(COMPLETE))

    def hidden_versions(self) -> list[int]:
        """Versions that may have points in the index but must not answer: in flight, replaced, removed."""
        # Named one by one they are found by an index; "none of these" would be a walk over every version.
        others = [status for status in VersionStatus if status not in COMPLETE]
        query = select(versions.c.version).where(versions.c.status.in_(others))
        with self.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def retired_versions(self, generation: int | None = None) -> list[int]:
        """Versions whose points may be deleted now; hand them to `forget` afterwards."""
        query = select(versions.c.version).where(versions.c.status == VersionStatus.RETIRED)
        if generation is not None:
            query = query.where(versions.c.generation == generation)
        with self.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def open_version(
        self,
        document_id: str,
        *,
        title: str,
        media_type: str,
        pages: int,
        language: str = "",
        warnings: Sequence[str] = (),
        signature: bytes = b"",
        keys: Sequence[int] = (),
        generation: int = 1,
        worker: str | None = None,
    ) -> int | None:
        """A new version to fill by hand; what a run has read, `Intake` takes in.

        One that another worker was filling for this document is retired.
        None when the document is gone, or, if `worker` is given, when the claim on it was taken away.
        """
        about = Description(title, media_type, pages, language, tuple(warnings), signature, tuple(keys))
        with self.database.writing() as connection:
            row = connection.execute(select(documents).where(documents.c.id == document_id)).first()
            if row is None or (worker is not None and row.worker != worker):
                return None
            return add_version(connection, row, about, (row.groups, row.labels), generation=generation)

    def save_chunks(self, version: int, pieces: Sequence[Chunk]) -> None:
        """Store the chunks of a version that is being filled, replacing what it had."""
        with self.database.writing() as connection:
            connection.execute(delete(chunks).where(chunks.c.version == version))
            add_chunks(connection, version, pieces)

    def publish(self, document_id: str, version: int) -> bool:
        """Let a filled version answer and retire all others of the document, in one transaction.

        False, and nothing changes, when the version was retired meanwhile: another worker took over, or the
        document changed again or was removed. Raises IndexUnavailable for a version of a generation that
        does not answer any more.
        """
        with self.database.writing() as connection:
            check_generation(connection, version)
            done = connection.execute(
                update(versions)
                .where(versions.c.version == version, versions.c.status == VersionStatus.FILLING)
                .values(status=VersionStatus.LIVE, published_at=time.time())
            )
            if done.rowcount == 0:
                return False
            others = (versions.c.document_id == document_id, versions.c.version != version)
            retire_where(connection, *others, versions.c.status.in_(COMPLETE))
            connection.execute(
                update(documents)
                .where(documents.c.id == document_id)
                .values(
                    state=DocumentState.LIVE,
                    live_version=version,
                    reason="",
                    attempts=0,
                    worker=None,
                    lease_until=None,
                )
            )
            return True

    def is_filling(self, version: int) -> bool:
        """Whether somebody still wants this version; else it was retired, and perhaps forgotten."""
        query = select(versions.c.status).where(versions.c.version == version)
        with self.database.reading() as connection:
            return connection.execute(query).scalar() == VersionStatus.FILLING

    def complete(self, version: int) -> bool:
        """Mark a filled version of a generation that is being built; False when it was retired meanwhile."""
        with self.database.writing() as connection:
            done = connection.execute(
                update(versions)
                .where(versions.c.version == version, versions.c.status == VersionStatus.FILLING)
                .values(status=VersionStatus.BUILT, published_at=time.time())
            )
            return done.rowcount == 1

    def remove(self, document_id: str) -> None:
        """Forget a document and the parts in it; they stop answering at once.

        Their points wait in `retired_versions`.
        """
        with self.database.writing() as connection:
            remove_one(connection, document_id)

    def retire_filling(self, generation: int) -> None:
        """Give up what is half-filled in a generation that is being built."""
        with self.database.writing() as connection:
            status = versions.c.status == VersionStatus.FILLING
            retire_where(connection, versions.c.generation == generation, status)

    def retire_versions(self, numbers: Sequence[int]) -> None:
        """Give up versions whose points are lost."""
        for some in batches(numbers):
            with self.database.writing() as connection:
                retire_where(connection, versions.c.version.in_(some))

    def digests(self, numbers: Sequence[int]) -> list[str]:
        """The digests of the bytes that these versions were made of, each once."""
        found: set[str] = set()
        with self.database.reading() as connection:
            for some in batches(numbers):
                query = select(versions.c.sha256).where(versions.c.version.in_(some))
                found |= set(connection.execute(query).scalars())
        return sorted(found)

    def forget(self, gone: Sequence[int]) -> None:
        """Drop retired versions whose points are no longer in the index."""
        for some in batches(gone):
            retired = (versions.c.version.in_(some), versions.c.status == VersionStatus.RETIRED)
            with self.database.writing() as connection:
                connection.execute(delete(versions).where(*retired))

    def _complete(self, *conditions: ColumnElement[bool]) -> dict[int, int]:
        query = select(versions.c.version, versions.c.chunks).where(*conditions)
        with self.database.reading() as connection:
            return {version: count for version, count in connection.execute(query)}

    def _select(
        self, principal: Principal, *conditions: ColumnElement[bool], limit: int | None = None
    ) -> list[Document]:
        query = (
            select(*COLUMNS)
            .join(versions, versions.c.version == documents.c.live_version, isouter=True)
            .where(documents.c.tenant == principal.tenant, *conditions)
            .order_by(documents.c.uri, documents.c.id)
        )
        with self.database.reading() as connection:
            readable = (row for row in connection.execute(query) if may_read(row, principal))
            return [document_of(row) for row in islice(readable, limit)]


COLUMNS: tuple[ColumnElement[Any], ...] = (
    documents.c.id.label("document_id"),
    documents.c.uri,
    documents.c.collection,
    documents.c.tenant,
    documents.c.sha256.label("wanted_sha256"),
    documents.c.groups.label("wanted_groups"),
    documents.c.labels.label("wanted_labels"),
    documents.c.owner,
    documents.c.source,
    documents.c.parent,
    documents.c.size_bytes,
    documents.c.state,
    documents.c.reason,
    documents.c.live_version,
    versions.c.sha256,
    versions.c.groups,
    versions.c.title,
    versions.c.media_type,
    versions.c.language.label("document_language"),
    versions.c.warnings,
    versions.c.pages.label("page_count"),
    versions.c.chunks.label("chunk_count"),
)


def remove_one(connection: Connection, document_id: str) -> None:
    """Delete a document with the parts in it, and retire whatever versions they have."""
    for part in connection.execute(select(documents.c.id).where(documents.c.parent == document_id)).scalars():
        remove_one(connection, part)
    connection.execute(delete(documents).where(documents.c.id == document_id))
    retire(connection, document_id, VersionStatus.FILLING, *COMPLETE)


def check_generation(connection: Connection, version: int) -> None:
    """Raises IndexUnavailable for a version that nobody would find, since another generation answers."""
    of_version = select(versions.c.generation).where(versions.c.version == version).scalar_subquery()
    live = generations.c.state == GenerationState.LIVE
    query = select(generations.c.generation).where(live, generations.c.generation != of_version)
    if (other := connection.execute(query).scalar()) is not None:
        raise IndexUnavailable(f"generation {other} of the index went live meanwhile; ingest again")


def may_read(row: Row[Any], principal: Principal) -> bool:
    """Whether a document is open to the principal."""
    return is_open(principal, row.collection, row.wanted_groups, row.groups)


def is_open(
    principal: Principal, collection: str, wanted: Sequence[str], indexed: Sequence[str] | None
) -> bool:
    """Whether groups and collection allow it: the indexed groups and those wanted since, so a narrowing acts
    at once."""
    held = set(principal.groups)
    if not principal.may_see(collection):
        return False
    return not held.isdisjoint(wanted) and (indexed is None or not held.isdisjoint(indexed))


def chunk_of(row: Row[Any]) -> Chunk:
    return Chunk(
        id=row.id,
        ordinal=row.ordinal,
        text=row.text,
        kind=row.kind,
        heading_path=tuple(row.heading_path),
        pages=tuple(row.pages),
        tokens=row.tokens,
        boxes=tuple(Box(*edges) for edges in row.boxes),
        language=row.language,
        confidence=row.confidence,
        section=row.section,
    )


def document_of(row: Row[Any]) -> Document:
    return Document(
        id=row.document_id,
        uri=row.uri,
        title=row.title or Path(row.uri).name,
        collection=row.collection,
        tenant=row.tenant,
        sha256=row.sha256 or row.wanted_sha256,
        version=row.live_version or 0,
        state=DocumentState(row.state),
        media_type=row.media_type or "",
        size_bytes=row.size_bytes,
        groups=tuple(row.wanted_groups),
        pages=row.page_count or 0,
        chunks=row.chunk_count or 0,
        reason=row.reason,
        owner=row.owner,
        labels=tuple(row.wanted_labels),
        source=row.source,
        parent=row.parent,
        language=row.document_language or "",
        warnings=tuple(row.warnings or ()),
    )
