"""What documents exist, which version of each is live, and the text of chunks. Work to do is in queue.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from rag.store.database import Database, chunks, documents, versions
from rag.types import Chunk, Document, DocumentState, Principal

VARIABLES_PER_STATEMENT = 500


class VersionStatus(StrEnum):
    """Only a live version answers. The others may still have points in the index."""

    FILLING = "filling"
    LIVE = "live"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with the document it was cut from."""

    chunk: Chunk
    document: Document


class Catalog:
    """The documents of one home. Every method is one short transaction; safe to use from many threads."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = Database(home)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def passages(self, chunk_ids: Sequence[str], principal: Principal) -> dict[str, StoredChunk]:
        """The chunks of these ids that are live and that the principal may read."""
        found: dict[str, StoredChunk] = {}
        with self.database.reading() as connection:
            for start in range(0, len(chunk_ids), VARIABLES_PER_STATEMENT):
                wanted = chunk_ids[start : start + VARIABLES_PER_STATEMENT]
                query = (
                    select(chunks, *COLUMNS)
                    .join(versions, versions.c.version == chunks.c.version)
                    .join(documents, documents.c.live_version == versions.c.version)
                    .where(chunks.c.id.in_(wanted), documents.c.tenant == principal.tenant)
                )
                for row in connection.execute(query):
                    if may_read(row, principal):
                        found[row.id] = StoredChunk(chunk_of(row), document_of(row))
        return found

    def chunks(self, version: int) -> list[Chunk]:
        """All chunks of a version, in order. For feeding, not for answers: it checks no permission."""
        query = select(chunks).where(chunks.c.version == version).order_by(chunks.c.ordinal)
        with self.database.reading() as connection:
            return [chunk_of(row) for row in connection.execute(query)]

    def document(self, document_id: str, principal: Principal) -> Document | None:
        """One document; None when there is none or the principal may not read it."""
        found = self._select(principal, documents.c.id == document_id)
        return found[0] if found else None

    def documents(self, principal: Principal, *, collection: str | None = None) -> list[Document]:
        """The documents that the principal may read, by uri."""
        return self._select(principal, *([documents.c.collection == collection] if collection else []))

    def counts(self) -> dict[DocumentState, int]:
        """How many documents are in each state."""
        query = select(documents.c.state, func.count()).group_by(documents.c.state)
        with self.database.reading() as connection:
            found = {DocumentState(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in DocumentState}

    def live_versions(self) -> dict[int, int]:
        """Live version -> its chunk count; the index must hold as many points of it."""
        query = select(versions.c.version, versions.c.chunks).where(versions.c.status == VersionStatus.LIVE)
        with self.database.reading() as connection:
            return {version: count for version, count in connection.execute(query)}

    def hidden_versions(self) -> list[int]:
        """Versions that may have points in the index but must not answer: in flight, replaced, removed."""
        query = select(versions.c.version).where(versions.c.status != VersionStatus.LIVE)
        with self.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def retired_versions(self) -> list[int]:
        """Versions whose points may be deleted now; hand them to `forget` afterwards."""
        query = select(versions.c.version).where(versions.c.status == VersionStatus.RETIRED)
        with self.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def open_version(self, document_id: str, *, title: str, media_type: str, pages: int) -> int:
        """A new version to fill. One that another worker was filling for this document is retired."""
        with self.database.writing() as connection:
            row = connection.execute(select(documents).where(documents.c.id == document_id)).one()
            retire(connection, document_id, VersionStatus.FILLING)
            version = connection.execute(
                insert(versions).values(
                    document_id=document_id,
                    status=VersionStatus.FILLING,
                    sha256=row.sha256,
                    groups=row.groups,
                    title=title,
                    media_type=media_type,
                    pages=pages,
                    chunks=0,
                )
            ).inserted_primary_key
            assert version is not None
            return int(version[0])

    def save_chunks(self, version: int, pieces: Sequence[Chunk]) -> None:
        """Store the chunks of a version that is being filled, replacing what it had."""
        rows = [
            {
                "id": piece.id,
                "version": version,
                "ordinal": piece.ordinal,
                "text": piece.text,
                "kind": piece.kind,
                "heading_path": list(piece.heading_path),
                "pages": list(piece.pages),
                "tokens": piece.tokens,
            }
            for piece in pieces
        ]
        with self.database.writing() as connection:
            connection.execute(delete(chunks).where(chunks.c.version == version))
            if rows:
                connection.execute(insert(chunks), rows)
            connection.execute(update(versions).where(versions.c.version == version).values(chunks=len(rows)))

    def publish(self, document_id: str, version: int) -> bool:
        """Let a filled version answer and retire the one before, in one transaction.

        False, and nothing changes, when the version was retired meanwhile: another worker took over, or the
        document changed again or was removed.
        """
        with self.database.writing() as connection:
            query = select(versions.c.status).where(versions.c.version == version)
            status = connection.execute(query).scalar()
            if status != VersionStatus.FILLING:
                return False
            retire(connection, document_id, VersionStatus.LIVE)
            connection.execute(
                update(versions).where(versions.c.version == version).values(status=VersionStatus.LIVE)
            )
            connection.execute(
                update(documents)
                .where(documents.c.id == document_id)
                .values(
                    state=DocumentState.LIVE,
                    live_version=version,
                    reason="",
                    attempts=0,
                    owner=None,
                    lease_until=None,
                )
            )
            return True

    def quarantine(self, document_id: str, reason: str) -> None:
        """Set a document aside with the reason. Its last live version, if it has one, keeps answering."""
        with self.database.writing() as connection:
            retire(connection, document_id, VersionStatus.FILLING)
            connection.execute(
                update(documents)
                .where(documents.c.id == document_id)
                .values(state=DocumentState.QUARANTINED, reason=reason, owner=None, lease_until=None)
            )

    def remove(self, document_id: str) -> None:
        """Forget a document; it stops answering at once. Its points wait in `retired_versions`."""
        with self.database.writing() as connection:
            connection.execute(delete(documents).where(documents.c.id == document_id))
            retire(connection, document_id, VersionStatus.FILLING, VersionStatus.LIVE)

    def forget(self, gone: Sequence[int]) -> None:
        """Drop retired versions whose points are no longer in the index."""
        with self.database.writing() as connection:
            for version in gone:
                connection.execute(
                    delete(versions).where(
                        versions.c.version == version, versions.c.status == VersionStatus.RETIRED
                    )
                )

    def _select(self, principal: Principal, *conditions: Any) -> list[Document]:
        query = (
            select(*COLUMNS)
            .join(versions, versions.c.version == documents.c.live_version, isouter=True)
            .where(documents.c.tenant == principal.tenant, *conditions)
            .order_by(documents.c.uri)
        )
        with self.database.reading() as connection:
            return [document_of(row) for row in connection.execute(query) if may_read(row, principal)]


COLUMNS: tuple[ColumnElement[Any], ...] = (
    documents.c.id.label("document_id"),
    documents.c.uri,
    documents.c.collection,
    documents.c.tenant,
    documents.c.sha256.label("wanted_sha256"),
    documents.c.groups.label("wanted_groups"),
    documents.c.size_bytes,
    documents.c.state,
    documents.c.reason,
    documents.c.live_version,
    versions.c.sha256,
    versions.c.groups,
    versions.c.title,
    versions.c.media_type,
    versions.c.pages.label("page_count"),
    versions.c.chunks.label("chunk_count"),
)


def retire(connection: Connection, document_id: str, *statuses: VersionStatus) -> None:
    """Stop versions of a document from answering and delete their text; their points go later."""
    condition = (versions.c.document_id == document_id, versions.c.status.in_(statuses))
    retiring = select(versions.c.version).where(*condition)
    connection.execute(delete(chunks).where(chunks.c.version.in_(retiring)))
    connection.execute(update(versions).where(*condition).values(status=VersionStatus.RETIRED))


def may_read(row: Row[Any], principal: Principal) -> bool:
    """Whether groups allow it: the indexed ones and those wanted since, so a narrowing acts at once."""
    held = set(principal.groups)
    return not held.isdisjoint(row.wanted_groups) and (row.groups is None or not held.isdisjoint(row.groups))


def chunk_of(row: Row[Any]) -> Chunk:
    return Chunk(
        id=row.id,
        ordinal=row.ordinal,
        text=row.text,
        kind=row.kind,
        heading_path=tuple(row.heading_path),
        pages=tuple(row.pages),
        tokens=row.tokens,
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
        groups=tuple(row.groups or row.wanted_groups),
        pages=row.page_count or 0,
        chunks=row.chunk_count or 0,
        reason=row.reason,
    )
