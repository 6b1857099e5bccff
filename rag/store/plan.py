"""What a listing of a source means for the catalog: what is new, changed, moved to other readers, or gone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from rag.store.database import Database, batches
from rag.store.tables import cursors, documents
from rag.types import DocumentState, Principal

BEHIND = "+"  # in a recipe, before the reader of a document
NAMESPACE = uuid.UUID("5f0c3f1e-6f0f-4d0e-9a53-3c8a2a6f7f11")


@dataclass(frozen=True, slots=True)
class Listed:
    """A document as its source shows it.

    `uri` is its identity within a collection. `fingerprint` differs when the content may: size and time of a
    file, an ETag, a commit's blob. `name` is a file name, which helps to tell kinds of text apart. `groups`
    None: whoever runs the ingestion decides. `reader`: what reads it where that is not ours; another one
    means: index again.
    """

    uri: str
    fingerprint: str
    size_bytes: int = 0
    name: str = ""
    groups: tuple[str, ...] | None = None
    owner: str = ""
    labels: tuple[str, ...] = ()
    reader: str = ""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the documents of a run belong and who may read them. A changed `recipe` means: index again."""

    tenant: str
    collection: str
    groups: tuple[str, ...]
    recipe: str
    labels: tuple[str, ...] = ()
    source: str = ""

    @classmethod
    def of(
        cls,
        principal: Principal,
        collection: str,
        groups: Sequence[str],
        recipe: str,
        *,
        labels: Sequence[str] = (),
        source: str = "",
    ) -> Shelf:
        return cls(principal.tenant, collection, unique(groups), recipe, unique(labels), source)

    def document_id(self, uri: str) -> str:
        """The id of a document: the same for the same tenant, collection and uri."""
        return str(uuid.uuid5(NAMESPACE, "\0".join((self.tenant, self.collection, uri))))

    def recipe_of(self, item: Listed) -> str:
        """How a document is read, in a word."""
        return f"{self.recipe}{BEHIND}{item.reader}" if item.reader else self.recipe

    def rights(self, item: Listed) -> dict[str, Any]:
        """Who may read a document, as the columns that hold it."""
        return {
            "owner": item.owner,
            "groups": list(self.groups if item.groups is None else unique(item.groups)),
            "labels": list(unique([*self.labels, *item.labels])),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a listing means. `gone` holds document ids; `quarantined`: set aside earlier, unchanged;
    `regrouped`: same content, other owner, groups or labels; `emptied`: roots below which nothing is listed
    any more, with the number of documents that are gone there; `foreign`: source and uri of documents that
    are listed here and belong to another source."""

    new: tuple[Listed, ...] = ()
    changed: tuple[Listed, ...] = ()
    regrouped: tuple[Listed, ...] = ()
    unchanged: tuple[Listed, ...] = ()
    quarantined: tuple[Listed, ...] = ()
    gone: tuple[str, ...] = ()
    emptied: tuple[tuple[str, int], ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is listed and not taken, one line for each source that it belongs to: names and the reason."""
        for source in sorted({source for source, _ in self.foreign}):
            uris = [uri for owner, uri in self.foreign if owner == source]
            more = f" and {len(uris) - 1} more" if len(uris) > 1 else ""
            yield uris[0] + more, belongs_to(source)


def plan(
    database: Database,
    listing: Iterable[Listed],
    shelf: Shelf,
    *,
    roots: Sequence[str] = (),
    deleted: Sequence[str] = (),
) -> Plan:
    """Compare a listing with the catalog.

    Documents of this source that lie under `roots` and are not listed are gone, and so are those `deleted`.
    Parts of other documents come and go with them, so they are left alone here. A document that two sources
    list belongs to one of them, else they would hand it, and its readers, to each other at each run.
    """
    listed = {item.uri: item for item in listing}
    known = known_on(database, shelf)
    foreign = kept_by_others(database, [item for item in listed.values() if item.uri not in known], shelf)
    theirs = {uri for _, uri in foreign}
    found: dict[str, list[Listed]] = {kind: [] for kind in KINDS}
    for item in listed.values():
        if item.uri not in theirs:
            found[kind_of(known.get(item.uri), item, shelf)].append(item)
    dropped = set(deleted) - set(listed)
    gone = [
        uri
        for uri in known
        if uri in dropped or (uri not in listed and any(is_under(uri, root) for root in roots))
    ]
    bare = [root for root in roots if not any(is_under(uri, root) for uri in listed)]
    emptied = tuple((root, sum(is_under(uri, root) for uri in gone)) for root in bare)
    kinds = {kind: tuple(items) for kind, items in found.items()}
    return Plan(**kinds, gone=tuple(known[uri].id for uri in gone), emptied=emptied, foreign=foreign)


KINDS = ("new", "changed", "regrouped", "unchanged", "quarantined")


def kind_of(row: Row[Any] | None, item: Listed, shelf: Shelf) -> str:
    """Which field of a plan a listed document belongs to."""
    if row is None:
        return "new"
    if (row.fingerprint, row.recipe) != (item.fingerprint, shelf.recipe_of(item)):
        return "changed"
    if row.state == DocumentState.QUARANTINED:
        return "quarantined"
    rights = shelf.rights(item)
    return "unchanged" if all(getattr(row, name) == held for name, held in rights.items()) else "regrouped"


def known_on(database: Database, shelf: Shelf) -> dict[str, Row[Any]]:
    """What the catalog knows of a source, by uri: its documents, not the parts in them."""
    columns = [documents.c[name] for name in ("id", "uri", "fingerprint", "recipe", "state")]
    rights = [documents.c[name] for name in ("owner", "groups", "labels")]
    query = select(*columns, *rights).where(
        documents.c.tenant == shelf.tenant,
        documents.c.collection == shelf.collection,
        documents.c.source == shelf.source,
        documents.c.parent.is_(None),
    )
    with database.reading() as connection:
        return {row.uri: row for row in connection.execute(query)}


def kept_by_others(database: Database, items: Sequence[Listed], shelf: Shelf) -> tuple[tuple[str, str], ...]:
    """Source and uri of those items that belong to another source, which keeps them."""
    wanted = {item.uri: item for item in items}
    here = [documents.c.tenant == shelf.tenant, documents.c.collection == shelf.collection]
    others = select(documents).where(*here, documents.c.source != shelf.source, documents.c.parent.is_(None))
    read_before = select(cursors.c.source).where(
        cursors.c.tenant == shelf.tenant,
        cursors.c.collection == shelf.collection,
        cursors.c.source == shelf.source,
    )
    with database.reading() as connection:
        is_first = connection.execute(read_before).first() is None
        return tuple(
            (row.source, row.uri)
            for some in batches(list(wanted))
            for row in connection.execute(others.where(documents.c.uri.in_(some)))
            if not may_take(row, wanted[row.uri], shelf, is_first=is_first)
        )


def may_take(row: Row[Any], item: Listed, shelf: Shelf, *, is_first: bool) -> bool:
    """Whether a declared source gets a document of another source.

    It does from paths given by hand, and from all when it is read for the first time: it may be an old one
    under a new name. Never when more readers would see the document then.
    """
    stays_as_closed = set(shelf.rights(item)["groups"]) <= set(row.groups)
    return bool(shelf.source) and stays_as_closed and (is_first or not row.source)


def belongs_to(source: str) -> str:
    """Why a listed document is not taken, and what can be done."""
    if not source:
        return "was ingested by hand for fewer readers: rag rm it, and it is taken at the next run"
    return (
        f"belongs to source {source}, which keeps it: exclude it there or here, or, if {source} is no more, "
        "rag rm it, and it is taken at the next run"
    )


def reader_in(recipe: str) -> str:
    """The reader that a recipe names; empty: ours."""
    return recipe.partition(BEHIND)[2]


def is_under(uri: str, root: str) -> bool:
    """Whether a uri is the root itself or lies below it."""
    return uri == root or uri.startswith(root.rstrip("/") + "/")


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once."""
    return tuple(sorted(set(values)))
