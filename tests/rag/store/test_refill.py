"""A lost index comes back from the chunks in the catalog, with the real index process."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import closing
from pathlib import Path

from rag.settings import Settings, StoreSettings
from rag.store.access import Access
from rag.store.catalog import Catalog
from rag.store.generations import Generations
from rag.store.indexes import IndexProcesses, recipe_of
from rag.store.intake import Intake
from rag.store.queue import Listed, Queue, Shelf
from rag.store.refill import put_back, refill
from rag.store.tables import versions
from rag.store.vectors import Vectors
from rag.store.versions import Description
from rag.types import Chunk, Principal


def enter(catalog: Catalog, name: str, texts: list[str], group: str = "everyone") -> int:
    """Put a live document into the catalog and nothing into the index; its version."""
    queue = Queue(catalog.database)
    queue.enqueue([Listed(name, "a", 1)], Shelf.of(Principal(), "default", (group,), "1"))
    claim = queue.claim(lease_s=60)
    assert claim

    def cut(version: int) -> list[Chunk]:
        ids = (str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {text}")) for text in texts)
        return [Chunk(id, number, text) for number, (id, text) in enumerate(zip(ids, texts, strict=True))]

    about = Description(name, "text/plain", 1)
    version = Intake(catalog.database).take(claim, "sha", about, cut, worker=queue.worker)
    assert version and catalog.publish(claim.document_id, version)
    return version


def test_an_index_is_filled_from_the_chunks_in_the_catalog(tmp_path: Path) -> None:
    """Also one that was filled in part; a second time there is nothing left to do."""
    with closing(Catalog(tmp_path)) as catalog:
        asyncio.run(story(catalog, Settings(home=tmp_path, store=StoreSettings(min_free_bytes=0))))


async def story(catalog: Catalog, settings: Settings) -> None:
    """One story, because starting the index process costs seconds."""
    enter(catalog, "rooms", [f"room {number}" for number in range(70)])
    secret = enter(catalog, "secret", ["the heron is blue"], group="board")
    generations, seen = Generations(catalog.database), []
    indexes, generation = IndexProcesses(settings, generations), generations.live(recipe_of(settings))
    vectors = indexes.of(generation)
    try:
        done = await refill(catalog, vectors, generation, progress=lambda *each: seen.append(each))
        assert (done.versions, done.chunks, seen) == (2, 71, [(64, 71), (70, 71), (71, 71)])
        assert await vectors.versions() == catalog.live_versions()
        legs = await vectors.search("blue heron", access=Access("default", ("board",)), limit=3)
        assert legs.sparse[0][0] == catalog.chunks(secret)[0].id
        legs = await vectors.search("blue heron", access=Access("default", ("everyone",)), limit=3)
        assert legs.sparse == [], "who may not read it does not find it either"
        await vectors.delete([secret])
        assert (await refill(catalog, vectors, generation)).versions == 1
        assert (await refill(catalog, vectors, generation)).chunks == 0
        await removed_meanwhile(catalog, vectors, secret)
    finally:
        await indexes.stop()


async def removed_meanwhile(catalog: Catalog, vectors: Vectors, version: int) -> None:
    """A document that loses a reader, then goes, between the look into the catalog and the writing."""
    (document,) = catalog.documents(Principal(groups=("board",)))[-1:]

    def narrow(*_: object) -> None:
        with catalog.database.writing() as connection:
            connection.execute(versions.update().where(versions.c.version == version).values(groups=["ceo"]))

    assert await put_back(catalog, vectors, version, narrow) == 1
    legs = await vectors.search("blue heron", access=Access("default", ("board",)), limit=3)
    assert legs.sparse == [], "the rights of now are those of the points"
    assert await put_back(catalog, vectors, version, lambda *_: catalog.remove(document.id)) == 0
    assert version not in await vectors.versions()
    assert await put_back(catalog, vectors, version, narrow) == 0
