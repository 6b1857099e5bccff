"""THE STORY OF A DOCUMENT: listed, claimed, read and chunked, embedded, stored, verified, published."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ingest.indexing import Fetching, Indexer, Read
from ingest.jobs import (
    Enqueued,
    LeftOut,
    Listener,
    Planned,
    Published,
    Quarantined,
    Summary,
    Tally,
    Unchanged,
)
from ingest.parsing.plugin import Parser, Plugins
from ingest.run import Run, Wanted, opened
from ingest.runners.local import LocalRunner
from ingest.runners.runner import Runner
from ingest.sources.folder import FolderSource
from ingest.sources.source import Changes, Source
from ingest.upkeep import Upkeep
from rag.cost.accountant import Accountant
from rag.cost.meter import Work
from rag.errors import NotFound, ParseError, SourceError, WorkerError
from rag.models.lockfile import entry, locate
from rag.settings import IngestSettings, Settings
from rag.store.catalog import Catalog
from rag.store.generations import Generation, Generations, check, differences
from rag.store.indexes import Indexes, recipe_of
from rag.store.intake import Intake
from rag.store.jobs import Jobs
from rag.store.originals import Originals
from rag.store.queue import Claim, Listed, Plan, Queue, Shelf
from rag.types import Principal

# Raise it when chunks of the same bytes come out differently: every document is then indexed again.
READING = "4"
MAX_DEPTH = 5
MANY = 10  # documents that do not all go at once without being asked
INSIDE = "!/"  # between the uri of a container and the name of a part


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
        self.intake = Intake(catalog.database)
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
        for name, reason in changes.problems:
            run.tally(LeftOut(name, reason))
        if not wanted.retry:
            ids = [shelf.document_id(item.uri) for item in plan.quarantined]
            for uri, reason in self.queue.reasons(ids):
                run.tally(Quarantined(uri, reason, earlier=True))

    async def _work(self, sources: Mapping[str, Source], generation: Generation, run: Run) -> None:
        """Process what waits, if anything does: the parse workers take a second to start."""
        count, _ = await asyncio.to_thread(self.queue.waiting, sources.keys(), run.only)
        if not count:
            return
        vectors = self.indexes.of(generation)
        fetching = Fetching(Originals(self.settings.home), sources)
        indexer = Indexer(vectors, fetching.bytes_of, run.tally, at_once=self.at_once)

        async def process(claim: Claim, read: Read) -> None:
            try:
                await self._index(claim, read, indexer, generation.number, run.tally)
            except ParseError as error:
                await self._set_aside(claim, str(error), run.tally)
            except NotFound:
                run.tally.vanished += 1
                await asyncio.to_thread(self.catalog.remove, claim.document_id)
            except SourceError as error:
                await self._after_a_failure(claim, error, run.tally)
            except WorkerError as error:
                # An index that cannot start is not the document's fault: it ends the run.
                await vectors.info()
                await self._after_a_failure(claim, error, run.tally)

        await run.runner.work(self.queue, process, sources.keys(), job=run.only, paused=run.paused)

    async def _index(self, claim: Claim, read: Read, indexer: Indexer, generation: int, tally: Tally) -> None:
        if claim.attempts > self.settings.ingest.attempts:
            raise ParseError(f"the program ended {claim.attempts} times while it worked on this document")
        parsed = await indexer.read(claim, read)
        if parsed.get("same"):
            await asyncio.to_thread(self.queue.unchanged, claim.document_id)
            tally(Unchanged(claim.uri))
            return
        parts = self._parts(claim, parsed.get("parts", ()))
        take = partial(
            self.intake.take,
            claim,
            parsed["sha256"],
            parts=parts,
            recipe=READING,
            generation=generation,
            worker=self.queue.worker,
        )
        filled = await indexer.fill(claim, parsed, take)
        if filled is None:
            return
        if parts:
            tally(Enqueued(claim.uri, len(parts)))
        version, chunks = filled
        if await asyncio.to_thread(self.catalog.publish, claim.document_id, version):
            tally(Published(claim.uri, len(chunks)))

    def _parts(self, claim: Claim, parts: Sequence[Mapping[str, Any]]) -> list[Listed]:
        """The documents inside a document, unless they lie too deep."""
        if claim.uri.count(INSIDE) >= MAX_DEPTH:
            return []
        return [
            Listed(
                uri=f"{claim.uri}{INSIDE}{part['name']}",
                fingerprint=part["sha256"],
                size_bytes=part["size"],
                name=part["name"],
                reader=self.plugins.reader_of(part["name"]),
            )
            for part in parts
        ]

    async def _after_a_failure(self, claim: Claim, error: Exception, tally: Tally) -> None:
        """Try again what may have been bad luck, and set it aside when that happened too often."""
        failures = await asyncio.to_thread(self.queue.fail, claim.document_id)
        if failures >= self.settings.ingest.attempts:
            await self._set_aside(claim, f"{failures} attempts failed, the last with: {error}", tally)

    async def _set_aside(self, claim: Claim, reason: str, tally: Tally) -> None:
        await asyncio.to_thread(self.catalog.quarantine, claim.document_id, reason)
        tally(Quarantined(claim.uri, reason))

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
        ingest = self.settings.ingest.model_copy(update={"chunk_tokens": recipe["chunk_tokens"]})
        runner = self._runner(ingest, self.settings.home, model_folder(recipe["model"], self.settings.home))
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
    """Raises SourceError for a source that had many documents and lists none: a disk that is not mounted
    looks just like that."""
    if not changes.items and not changes.gone and len(plan.gone) >= MANY and not wanted.allow_empty:
        raise SourceError(
            f"nothing is listed where {len(plan.gone)} documents were: is it mounted, is it reachable? "
            "if they are meant to go: rag ingest --allow-empty"
        )


def model_folder(model: str, home: Path) -> Path:
    """The folder of an embedder, whose tokenizer measures the chunks."""
    folder = Path(model)
    return folder if folder.is_dir() else locate(entry(model, home), home)


__all__ = ["Pipeline", "Wanted"]
