"""THE STORY OF A DOCUMENT: listed, claimed, read and chunked, embedded, stored, verified, published."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from ingest.indexing import Fetching, Indexer
from ingest.jobs import LeftOut, Listener, Planned, Quarantined, Summary, Tally
from ingest.parsing.plugin import Parser, Plugins
from ingest.processing import READING, Processing
from ingest.run import Run, Wanted, opened
from ingest.runners.local import LocalRunner
from ingest.runners.runner import Runner
from ingest.sources.folder import FolderSource
from ingest.sources.source import Changes, Source
from ingest.upkeep import Upkeep
from rag.cost.accountant import Accountant
from rag.cost.meter import Work
from rag.embedding.prompts import prompts_for
from rag.embedding.tokens import TokenCounter
from rag.errors import SourceError
from rag.models.lockfile import folder_of
from rag.settings import IngestSettings, Settings
from rag.store.catalog import Catalog
from rag.store.generations import Generation, Generations, Recipe, check, differences
from rag.store.indexes import Indexes, recipe_of
from rag.store.jobs import Jobs
from rag.store.originals import Originals
from rag.store.queue import Listed, Plan, Queue, Shelf
from rag.types import Principal

MANY = 10  # documents that do not all go at once without being asked


class Pipeline:
    """Brings the index up to date with a source. Killed at any moment, the next run goes on where it was."""

    def __init__(
        self,
        catalog: Catalog,
        indexes: Indexes,
        settings: Settings,
        *,
        runner: Callable[[IngestSettings, Path, Path], Runner] = LocalRunner,
        at_once: int = 1,
        parsers: Mapping[str, str | type[Parser]] | None = None,
    ) -> None:
        """`runner` reads documents; `at_once`: how many documents are embedded side by side.

        `parsers`: beside those of the settings. Raises SettingsError for one that cannot be named.
        """
        self.plugins = Plugins.of({**settings.ingest.parsers, **(parsers or {})})
        ingest = settings.ingest.model_copy(update={"parsers": dict(self.plugins.named)})
        self.catalog, self.indexes = catalog, indexes
        self.settings = settings.model_copy(update={"ingest": ingest})
        self._runner, self.at_once = runner, at_once
        self.queue = Queue(catalog.database)
        self.jobs = Jobs(catalog.database)
        self.generations = Generations(catalog.database)
        self.upkeep = Upkeep(catalog, self.queue, indexes)

    async def run(
        self,
        what: Sequence[Path] | Source,
        *,
        principal: Principal,
        collection: str = "default",
        groups: Sequence[str] = ("everyone",),
        retry: bool = False,
        allow_empty: bool = False,
        on_event: Listener | None = None,
    ) -> Summary:
        """Index what is new or changed in a source or under paths, remove what is gone from there.

        `retry`: also the quarantined. Raises NotFound for a path that is not there, SourceError for a source
        that cannot be reached, SettingsError for a parser that cannot be loaded. Errors of the index end it.
        """
        source = self.folder(what) if isinstance(what, Sequence) else what
        wanted = Wanted(principal, collection, tuple(groups), retry=retry, allow_empty=allow_empty)
        return await self.sync(source, wanted, on_event=on_event)

    async def sync(self, source: Source, wanted: Wanted, *, on_event: Listener | None = None) -> Summary:
        """Bring the index up to date with a source.

        Raises SourceError when it cannot be reached, SettingsError when settings ask for a new generation.
        """
        generation = await self._generation()
        shelf = self._shelf(source, wanted)
        changes = await self._changes(source, shelf)
        async with self.job(shelf, wanted, generation, on_event) as run:
            await self.upkeep.reconcile(generation, run.tally)
            await asyncio.to_thread(self._plan, changes, shelf, wanted, run)
            await asyncio.to_thread(
                self.jobs.move_cursor, shelf.tenant, shelf.collection, shelf.source, changes.cursor
            )
            await self.upkeep.regroup(generation)
            # Paths given by hand: what an earlier run of other paths left is done too.
            fetching = source if source.name else self.anywhere()
            await self._work({source.name: fetching}, generation, run)
            # Rights may have changed while their documents were in work.
            await self.upkeep.regroup(generation)
            await self.upkeep.purge()
            await self.upkeep.tidy(generation)
        return run.summary()

    async def work(self, *, job: str | None = None, on_event: Listener | None = None) -> Summary:
        """Do what waits and needs no source: uploads, parts of containers, what other runs left of paths.

        `job`: only what waits of that one, which goes on and ends when it is done, paused or cancelled.
        """
        generation = await self._generation()
        shelf = Shelf("", "", (), READING)
        async with self.job(shelf, Wanted(), generation, on_event, only=job) as run:
            if job is None:
                await self.upkeep.reconcile(generation, run.tally)
            count, size = await asyncio.to_thread(self.queue.waiting, {""}, job)
            resumed = 0 if job else count
            run.tally(Planned(0, 0, 0, 0, waiting=count, resumed=resumed, waiting_bytes=size))
            await self._work({"": self.anywhere()}, generation, run)
            await self.upkeep.regroup(generation)
            await self.upkeep.purge()
            await self.upkeep.tidy(generation)
        return run.summary()

    async def reconcile(self) -> None:
        """Make catalog and index agree, after whatever happened to either."""
        await self.upkeep.reconcile(await self._generation(), Tally())

    async def preview(self, source: Source, wanted: Wanted) -> tuple[Plan, Changes]:
        """What a run would do; nothing is changed."""
        await self._generation()
        shelf = self._shelf(source, wanted)
        changes = await self._changes(source, shelf)
        plan = await asyncio.to_thread(
            self.queue.plan, changes.items, shelf, roots=changes.roots, deleted=changes.gone
        )
        return plan, changes

    async def remove(self, document_ids: Sequence[str]) -> None:
        """Forget documents: they stop answering at once, then their points go."""
        for document_id in document_ids:
            await asyncio.to_thread(self.catalog.remove, document_id)
        await self.upkeep.purge()

    def folder(self, paths: Sequence[Path]) -> FolderSource:
        """Paths given by hand as a source."""
        limit = self.settings.ingest.max_file_bytes
        return FolderSource(paths, home=self.settings.home, max_file_bytes=limit)

    def anywhere(self) -> FolderSource:
        """What fetches any file, to whichever path it was once found under."""
        return self.folder([Path("/")])

    async def _changes(self, source: Source, shelf: Shelf) -> Changes:
        """What the source has, since its last finished run."""
        cursor = await asyncio.to_thread(self.jobs.cursor, shelf.tenant, shelf.collection, shelf.source)
        changes = await asyncio.to_thread(source.changes, cursor)
        if not self.plugins.named:
            return changes
        readers = (self.plugins.reader_of(item.name or item.uri) for item in changes.items)
        items = (replace(item, reader=reader) for item, reader in zip(changes.items, readers, strict=True))
        return replace(changes, items=tuple(items))

    async def _generation(self) -> Generation:
        """The one that answers. Raises SettingsError when the settings ask for another that nobody builds."""
        recipe = recipe_of(self.settings)
        generation = await asyncio.to_thread(self.generations.live, recipe)
        building = await asyncio.to_thread(self.generations.building)
        if building is None or differences(building.recipe, recipe):
            check(generation, recipe)
        return generation

    def _shelf(self, source: Source, wanted: Wanted) -> Shelf:
        return Shelf.of(
            wanted.principal,
            wanted.collection,
            wanted.groups,
            READING,
            labels=wanted.labels,
            source=source.name,
        )

    def _plan(self, changes: Changes, shelf: Shelf, wanted: Wanted, run: Run) -> None:
        plan = self.queue.plan(changes.items, shelf, roots=changes.roots, deleted=changes.gone)
        again = plan.quarantined if wanted.retry else ()
        refuse_a_sudden_end(changes, plan, wanted)
        todo: list[Listed] = [*plan.new, *plan.changed, *again]
        self.queue.enqueue(todo, shelf, job=run.job, priority=wanted.priority)
        self.queue.regroup(plan.regrouped, shelf)
        for document_id in plan.gone:
            self.catalog.remove(document_id)
        waiting, size = self.queue.waiting({shelf.source})
        resumed = max(0, waiting - len(todo))
        run.tally(
            Planned(
                new=len(plan.new),
                changed=len(plan.changed),
                gone=len(plan.gone),
                unchanged=max(0, len(plan.unchanged) - resumed),
                retried=len(again),
                resumed=resumed,
                regrouped=len(plan.regrouped),
                waiting=waiting,
                waiting_bytes=size,
            )
        )
        for name, reason in (*changes.problems, *plan.problems()):
            run.tally(LeftOut(name, reason))
        if not wanted.retry:
            ids = [shelf.document_id(item.uri) for item in plan.quarantined]
            for uri, reason in self.queue.reasons(ids):
                run.tally(Quarantined(uri, reason, earlier=True))

    async def _work(self, sources: Mapping[str, Source], generation: Generation, run: Run) -> None:
        """Process what waits, if anything does: the parse workers take a second to start."""
        count, _ = await asyncio.to_thread(self.queue.waiting, sources.keys(), run.only)
        # What a paused run has still to do is held back, and so not among what waits.
        if not count and not await asyncio.to_thread(run.paused):
            return
        vectors, fetching = self.indexes.of(generation), Fetching(Originals(self.settings.home), sources)
        processing = Processing(
            self.queue,
            self.catalog,
            Indexer(vectors, fetching.bytes_of, run.tally, self.catalog.is_filling, at_once=self.at_once),
            generation,
            run.tally,
            reader_of=self.plugins.reader_of,
            attempts=self.settings.ingest.attempts,
        )
        await run.runner.work(self.queue, processing.process, sources.keys(), job=run.only, paused=run.paused)

    @asynccontextmanager
    async def job(
        self,
        shelf: Shelf,
        wanted: Wanted,
        generation: Generation,
        listener: Listener | None,
        *,
        only: str | None = None,
    ) -> AsyncIterator[Run]:
        """A run whose documents are read as a generation wants them; `only`: the job that goes on.

        However it ends, its work is in the ledger then.
        """
        recipe = {**recipe_of(self.settings), **generation.recipe}
        folder = folder_of(recipe["model"], self.settings.home)
        tokens = chunk_tokens(recipe, folder, self.settings.home)
        ingest = self.settings.ingest.model_copy(update={"chunk_tokens": tokens})
        runner = self._runner(ingest, self.settings.home, folder)
        async with opened(self.jobs, self.queue, runner, shelf, wanted, listener, only=only) as run:
            before = run.tally.cpu_of_all(os.cpu_count() or 1)
            try:
                yield run
            finally:
                cpu_s = run.tally.cpu_of_all(os.cpu_count() or 1) - before
                await asyncio.to_thread(self._book, wanted.principal, shelf, run, cpu_s)

    def _book(self, principal: Principal, shelf: Shelf, run: Run, cpu_s: float) -> None:
        """Put the work of a run into the ledger; nothing for one that found nothing to do."""
        if cpu_s > 0:
            told = {"documents": run.tally.published, "chunks": run.tally.chunks, "tokens": run.tally.tokens}
            Accountant(self.catalog.database, self.settings).book_ingestion(
                principal, Work(cpu_s=cpu_s), job=run.job, collection=shelf.collection, details=told
            )


def refuse_a_sudden_end(changes: Changes, plan: Plan, wanted: Wanted) -> None:
    """Raises SourceError for a source that had many documents and lists none, and for one of its folders: a
    disk that is not mounted looks just like that."""
    ends = [] if changes.items or changes.gone else [("", len(plan.gone))]
    ends += [(f" in {root}", count) for root, count in plan.emptied if root in changes.mounts]
    where, count = max(ends, key=lambda end: end[1], default=("", 0))
    if count >= MANY and not wanted.allow_empty:
        raise SourceError(
            f"nothing is listed{where} where {count} documents were: is it mounted, is it reachable? "
            "if they are meant to go: rag ingest --allow-empty"
        )


def chunk_tokens(recipe: Recipe, folder: Path, home: Path) -> int:
    """Tokens of a chunk: as the recipe wants, and so many that the embedder reads all behind its prompt."""
    wanted = int(recipe["chunk_tokens"])
    prompt = prompts_for(recipe["model"], home, document=recipe["document_prompt"]).document
    return min(wanted, TokenCounter(folder, prompt).budget) if prompt else wanted


__all__ = ["Pipeline", "Wanted"]
