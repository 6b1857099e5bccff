"""A new generation of the index, built beside the one that answers, which it then replaces at one stroke."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ingest.indexing import Indexer, Read, Take
from ingest.jobs import Listener, Planned, Published, Quarantined, Summary
from ingest.pipeline import Pipeline
from ingest.run import Run, Wanted
from ingest.runners.runner import Rest
from rag.errors import BadRequest, Forbidden, NotFound, Overloaded, ParseError, SourceError
from rag.store.generations import Generation, differences
from rag.store.indexes import recipe_of
from rag.store.intake import Intake
from rag.store.originals import Originals
from rag.store.queue import Claim, Shelf

NOT_THERE = "its file was gone when the index was built anew"


class Rebuild:
    """Builds a generation with today's settings. Killed at any moment, the next run goes on where it was."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._catalog, self._generations = pipeline.catalog, pipeline.generations
        self._home = pipeline.settings.home
        self._originals = Originals(self._home)

    def due(self, *, force: bool = False) -> list[str]:
        """How today's settings differ from those of the live generation, in words.

        Raises BadRequest when they do not, unless `force` asks for a generation all the same.
        """
        recipe = recipe_of(self._pipeline.settings)
        found = differences(self._generations.live(recipe).recipe, recipe)
        if not found and not force:
            raise BadRequest("the settings are those of the live generation; --force builds one all the same")
        return found

    async def run(self, *, force: bool = False, on_event: Listener | None = None) -> Summary:
        """Build, catch up with what changed meanwhile, go live. The generation before is kept.

        Raises BadRequest when nothing differs and `force` is not set, Overloaded when another process builds.
        """
        await asyncio.to_thread(self.due, force=force)
        with alone(self._home):
            generation = await asyncio.to_thread(self._generations.build, recipe_of(self._pipeline.settings))
            shelf = Shelf("", "", (), "", source=f"generation {generation.number}")
            async with self._pipeline.job(shelf, Wanted(), generation, on_event) as run:
                await self._tidy(generation)
                failed: dict[str, str] = {}
                while True:
                    waiting = await asyncio.to_thread(self._claims, generation, failed)
                    run.tally(Planned(len(waiting), 0, 0, 0, waiting=len(waiting)))
                    await self._build(waiting, generation, failed, run)
                    # Nobody asks this one yet, so nobody waits.
                    await self._pipeline.indexes.of(generation).optimize()
                    if not await asyncio.to_thread(self._generations.go_live, generation.number, failed):
                        break
                await self._pipeline.upkeep.regroup(generation)
                await self._pipeline.upkeep.drop_dead()
        return run.summary()

    async def _tidy(self, generation: Generation) -> None:
        """Retire what a killed run left half-filled."""
        await asyncio.to_thread(self._catalog.retire_filling, generation.number)
        lost = await self._pipeline.upkeep.compare(generation)
        await asyncio.to_thread(self._catalog.retire_versions, list(lost))
        await self._pipeline.upkeep.purge()

    def _claims(self, generation: Generation, failed: Mapping[str, str]) -> list[Claim]:
        missing = [each for each in self._generations.outstanding(generation.number) if each not in failed]
        return self._pipeline.queue.look_at(missing)

    async def _build(
        self, waiting: Sequence[Claim], generation: Generation, failed: dict[str, str], run: Run
    ) -> None:
        vectors = self._pipeline.indexes.of(generation)
        at_once = self._pipeline.at_once
        indexer = Indexer(vectors, self._bytes_of, run.tally, self._catalog.is_filling, at_once=at_once)
        take = partial(Intake(self._catalog.database).take_again, generation=generation.number)

        async def process(claim: Claim, read: Read) -> Rest | None:
            try:
                parsed = await indexer.read(claim, read)
            except (ParseError, NotFound, SourceError, Forbidden) as error:
                failed[claim.document_id] = NOT_THERE if isinstance(error, NotFound) else str(error)
                run.tally(Quarantined(claim.uri, failed[claim.document_id]))
                return None
            return store(claim, parsed, await indexer.admit(claim, parsed))

        async def store(claim: Claim, parsed: Mapping[str, Any], admitted: int) -> None:
            try:
                await self._store(claim, parsed, indexer, partial(take, claim), run)
            finally:
                await indexer.discharge(admitted)

        if waiting:
            await run.runner.drain(partial(next, iter(waiting), None), process)

    async def _store(
        self, claim: Claim, parsed: Mapping[str, Any], indexer: Indexer, take: Take, run: Run
    ) -> None:
        filled = await indexer.fill(claim, parsed, take)
        if filled is None:
            return
        version, chunks = filled
        if await asyncio.to_thread(self._catalog.complete, version):
            run.tally(Published(claim.uri, len(chunks)))
        else:
            await indexer.forsake(version)

    def _bytes_of(self, claim: Claim) -> Path:
        """What we keep of a document, else the file that it is."""
        kept = self._originals.path(claim.sha256)
        if claim.sha256 and kept.exists():
            return kept
        return self._pipeline.anywhere().fetch(claim.uri, kept)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Only one process builds a generation. Raises Overloaded while another does."""
    with (home / "rebuild.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Overloaded("another process builds a generation of this index") from None
        yield
