"""Documents of the corpus that say nearly the same, and which of them is the newest edition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, and_, select

from ingest.duplicates import ALIKE, similarity
from rag.editions import family
from rag.store.catalog import COLUMNS, Catalog, document_of, may_read
from rag.store.tables import bands, documents, versions
from rag.store.versions import VersionStatus
from rag.types import Document, Principal


@dataclass(frozen=True, slots=True)
class Alike:
    """Two live documents with the similarity of their texts in [0, 1]; `same_bytes`: they are copies."""

    one: Document
    other: Document
    similarity: float
    same_bytes: bool


def alike(catalog: Catalog, principal: Principal, *, least: float = ALIKE) -> list[Alike]:
    """Pairs of documents of one tenant that are at least so similar, the most similar first."""
    found = [pair for pair in candidates(catalog, principal) if pair.similarity >= least]
    return sorted(found, key=lambda pair: (-pair.similarity, pair.one.uri, pair.other.uri))


def groups(pairs: list[Alike]) -> list[list[Document]]:
    """The documents of these pairs in groups: alike are those that a chain of pairs connects."""
    group_of: dict[str, list[Document]] = {}
    for pair in pairs:
        one = group_of.setdefault(pair.one.id, [pair.one])
        other = group_of.setdefault(pair.other.id, [pair.other])
        if one is not other:
            one += other
            group_of |= {document.id: one for document in other}
    return list({id(group): sorted(group, key=lambda each: each.uri) for group in group_of.values()}.values())


def newest(group: list[Document]) -> Document | None:
    """The newest edition in a group by what the names say; None when they are not editions of one thing."""
    names = [family(Path(document.uri).name) for document in group]
    if len({stem for stem, _ in names}) != 1 or len({order for _, order in names}) == 1:
        return None
    return max(zip(names, group, strict=True), key=lambda pair: pair[0][1])[1]


def candidates(catalog: Catalog, principal: Principal) -> Iterator[Alike]:
    """Pairs whose signatures share a band. Parts of a document are not compared with their container."""
    mine, theirs = bands.alias(), bands.alias()
    same_band = and_(mine.c.band == theirs.c.band, mine.c.key == theirs.c.key)
    pairs = (
        select(mine.c.version.label("one"), theirs.c.version.label("other"))
        .join(theirs, and_(same_band, mine.c.version < theirs.c.version))
        .distinct()
    )
    with catalog.database.reading() as connection:
        for one, other in connection.execute(pairs).all():
            query: Select[Any] = (
                select(*COLUMNS, versions.c.signature)
                .join(versions, versions.c.version == documents.c.live_version)
                .where(
                    versions.c.version.in_((one, other)),
                    versions.c.status == VersionStatus.LIVE,
                    documents.c.tenant == principal.tenant,
                )
            )
            rows = [row for row in connection.execute(query) if may_read(row, principal)]
            if len(rows) == 2:
                yield compared(*rows)


def compared(one: Row[Any], other: Row[Any]) -> Alike:
    likeness = similarity(one.signature, other.signature)
    return Alike(document_of(one), document_of(other), likeness, one.sha256 == other.sha256)
