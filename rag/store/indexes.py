"""The index processes of a home, one per generation, and the view on the one that answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from rag.errors import IndexUnavailable
from rag.settings import Settings
from rag.sharing import SharedWorker
from rag.store.generations import Generation, Generations, Recipe
from rag.store.vectors import IndexVectors, Vectors

TERMS = "words and pairs"  # what the sparse vectors hold, without a learned encoder
WHOLE = 0.9  # of its chunks: little that is lost must not close a home for as long as it takes to mend


class Indexes(Protocol):
    """The index of each generation."""

    def of(self, generation: Generation) -> Vectors:
        """The index of a generation; its process starts at the first call."""
        ...

    async def drop(self, generation: Generation) -> None:
        """Delete the index of a generation that does not answer."""
        ...


class IndexProcesses:
    """A shared child per generation in use."""

    def __init__(self, settings: Settings, generations: Generations) -> None:
        self._settings = settings
        self._workers: dict[int, SharedWorker] = {}
        self.live = IndexVectors(LiveCaller(self.worker, generations, recipe_of(settings)))

    def of(self, generation: Generation) -> IndexVectors:
        return IndexVectors(self.worker(generation))

    def worker(self, generation: Generation) -> SharedWorker:
        """The process of one index."""
        if generation.number not in self._workers:
            self._workers[generation.number] = index_worker(self._settings, generation)
        return self._workers[generation.number]

    async def drop(self, generation: Generation) -> None:
        if worker := self._workers.pop(generation.number, None):
            await worker.stop()
        await self.live.drop(generation.number)

    async def stop(self, *, linger: bool = False) -> None:
        """Leave all of them."""
        leaving = (worker.stop(linger=linger) for worker in self._workers.values())
        await asyncio.gather(*leaving, return_exceptions=True)


class LiveCaller:
    """Calls the index of whichever generation answers at that moment."""

    def __init__(
        self, worker: Callable[[Generation], SharedWorker], generations: Generations, recipe: Recipe
    ):
        self._worker, self._generations, self._recipe = worker, generations, recipe
        self._found: set[SharedWorker] = set()

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        worker = await self._now()
        if method == "search" and worker not in self._found:
            await self._refuse_a_lost_index(worker)
        return await worker.call(method, timeout_s=timeout_s, **args)

    async def _refuse_a_lost_index(self, worker: SharedWorker) -> None:
        """An index that was deleted, or is filled again, finds little: that must not read as "not there"."""
        # In this order: what is published in between is held too.
        wanted = await asyncio.to_thread(self._generations.live_chunks)
        held = (await worker.call("info"))["points"]
        if held < WHOLE * wanted:
            # Without numbers: readers are told this, and others' chunks are among them.
            raise IndexUnavailable(
                "the index has lost live chunks: `rag ingest` where they came from, or start the server "
                "anew, to have them back; if that is under way, wait for it"
            )
        if held:
            self._found.add(worker)

    async def _now(self) -> SharedWorker:
        return self._worker(await asyncio.to_thread(self._generations.live, self._recipe))


def recipe_of(settings: Settings) -> Recipe:
    """The settings that decide what an index holds: a change of one asks for a new generation."""
    return {
        "model": settings.embedding.model,
        "dimensions": settings.embedding.dimensions,
        "document_prompt": settings.embedding.document_prompt,
        "quantisation": settings.store.quantisation,
        "chunk_tokens": settings.ingest.chunk_tokens,
        "terms": settings.embedding.sparse or TERMS,
        "late_interaction": settings.embedding.late_interaction,
    }


def index_worker(settings: Settings, generation: Generation) -> SharedWorker:
    """The process of one index, shared by all that have this home open. It keeps to the recipe it has."""
    embedding = settings.embedding.model_dump(mode="json")
    # Whoever may list processes sees this; the address of the database may hold a password.
    store = settings.store.model_dump(mode="json", exclude={"database_url"})
    made = generation.recipe
    embedding |= {name: made[name] for name in ("model", "dimensions", "document_prompt") if name in made}
    if embedding["model"] != settings.embedding.model:
        embedding["query_prompt"] = None  # that is of the model to come
    terms = made.get("terms", TERMS)
    embedding["sparse"] = "" if terms == TERMS else terms
    embedding["late_interaction"] = made.get("late_interaction", "")
    store |= {name: made[name] for name in ("quantisation",) if name in made}
    suffix = "" if generation.number == 1 else f"-{generation.number}"
    return SharedWorker(
        "rag.store.index:IndexService",
        {
            "home": str(settings.home.resolve()),
            "store": store,
            "embedding": embedding,
            "generation": str(generation.number),
        },
        name=f"index{suffix}",
        lock=settings.home / f"index{suffix}.lock",
    )
