"""A version of a document: opened, filled and retired, within a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from rag.store.tables import bands, chunks, versions
from rag.types import Chunk


class VersionStatus(StrEnum):
    """Only a live version answers. The others may still have points in the index.

    Built: complete in a generation that is not live yet. Kept: live when its generation was.
    """

    FILLING = "filling"
    BUILT = "built"
    LIVE = "live"
    KEPT = "kept"
    RETIRED = "retired"


COMPLETE = (VersionStatus.BUILT, VersionStatus.LIVE, VersionStatus.KEPT)
# A search that began before another generation went live finds versions of the one before: the same content.
ANSWERING = (VersionStatus.LIVE, VersionStatus.KEPT)


# The chunks of a version, which are named after its number.
Cut = Callable[[int], Sequence[Chunk]]


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a version besides its chunks.

    `signature` and its band `keys` are how near-duplicates find each other.
    """

    title: str
    media_type: str
    pages: int
    language: str = ""
    warnings: tuple[str, ...] = ()
    signature: bytes = b""
    keys: tuple[int, ...] = ()


def add_version(
    connection: Connection,
    document: Row[Any],
    about: Description,
    rights: tuple[Sequence[str], Sequence[str]],
    *,
    generation: int,
    cut: Cut | None = None,
) -> int:
    """A new version to fill, with its chunks if they are there; one that another worker was filling goes.

    `rights`: groups and labels that its points are given.
    """
    filling = (versions.c.document_id == document.id, versions.c.generation == generation)
    retire_where(connection, *filling, versions.c.status == VersionStatus.FILLING)
    made = connection.execute(
        insert(versions).values(
            document_id=document.id,
            generation=generation,
            status=VersionStatus.FILLING,
            sha256=document.sha256,
            recipe=document.recipe,
            groups=list(rights[0]),
            labels=list(rights[1]),
            title=about.title,
            media_type=about.media_type,
            language=about.language,
            warnings=list(about.warnings),
            pages=about.pages,
            chunks=0,
            signature=about.signature,
        )
    ).inserted_primary_key
    assert made is not None
    number = int(made[0])
    rows = [{"band": band, "key": key, "version": number} for band, key in enumerate(about.keys)]
    if rows:
        connection.execute(insert(bands), rows)
    if cut is not None:
        add_chunks(connection, number, cut(number))
    return number


def add_chunks(connection: Connection, version: int, pieces: Sequence[Chunk]) -> None:
    """Put the chunks into a version that has none."""
    rows = [
        {
            "id": piece.id,
            "version": version,
            "ordinal": piece.ordinal,
            "text": piece.text,
            "section": piece.section,
            "kind": piece.kind,
            "heading_path": list(piece.heading_path),
            "pages": list(piece.pages),
            "boxes": [astuple(box) for box in piece.boxes],
            "language": piece.language,
            "confidence": piece.confidence,
            "tokens": piece.tokens,
        }
        for piece in pieces
    ]
    if rows:
        connection.execute(insert(chunks), rows)
    connection.execute(update(versions).where(versions.c.version == version).values(chunks=len(rows)))


def retire(connection: Connection, document_id: str, *statuses: VersionStatus) -> None:
    """Stop versions of a document from answering and delete their text; their points go later."""
    retire_where(connection, versions.c.document_id == document_id, versions.c.status.in_(statuses))


def retire_where(connection: Connection, *conditions: ColumnElement[bool]) -> None:
    """Stop versions from answering and delete their text."""
    retiring = select(versions.c.version).where(*conditions)
    # Mostly there is none: a new document has no other version.
    if connection.execute(retiring.limit(1)).first() is None:
        return
    for table in (chunks, bands):
        connection.execute(delete(table).where(table.c.version.in_(retiring)))
    connection.execute(update(versions).where(*conditions).values(status=VersionStatus.RETIRED))
