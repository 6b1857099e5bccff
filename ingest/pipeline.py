"""The story of a document: listed, claimed, parsed and chunked, embedded, stored, verified, published."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ingest.jobs import Embedded, Listener, Parsed, Planned, Published, Quarantined, Summary, Tally
from ingest.runners import local
from ingest.runners.local import Read
from ingest.sources import folder
from ingest.sources.folder import Listing
from rag.errors import IndexUnavailable, NotFound, ParseError, WorkerError
from rag.models.lockfile import entry, locate
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.store.queue import Claim, Queue, Shelf
from rag.store.revocation import revoke_kv
from rag.store.vectors import Vectors
from rag.types import Chunk, DocumentState, Principal

CHUNKS_PER_CALL = 64
# Raise it when chunks of the same bytes come out differently: every document is then indexed again.
READING = "1"
NAMESPACE = uuid.UUID("0c1f4c0a-3c43-4a39-8a3e-94a1f7f3d0b2")


class Pipeline:
    """Brings the index up to date with a source. Killed at any moment, the next run goes on where it was."""

    def __init__(self, catalog: Catalog, vectors: Vectors, settings: Settings) -> None:
        self.catalog, self.vectors, self.settings = catalog, vectors, settings
        self.queue = Queue(catalog.database)

    async def run(
        self,
        paths: Sequence[Path],
        *,
        principal: Principal,
        collection: str = "default",
        groups: Sequence[str] = ("everyone",),
        retry: bool = False,
        on_event: Listener | None = None,
    ) -> Summary:
        """Index what is new or changed under the paths, remove what is gone; `retry`: also the quarantined.

        Raises NotFound for a path that is not there; errors of the index end the run.
        """
        started = time.monotonic()
        tally = Tally(on_event)
        shelf = Shelf.of(principal, collection, groups, self.recipe)
        listing = await asyncio.to_thread(
            folder.listing,
            paths,
            home=self.settings.home,
            max_file_bytes=self.settings.ingest.max_file_bytes,
        )
        await self.reconcile()
        await asyncio.to_thread(self._plan, listing, shelf, tally, retry=retry)
        if tally.planned.waiting:
            await self._work(tally)
        await self.purge()
        return tally.summary(time.monotonic() - started)

    @property
    def recipe(self) -> str:
        """What, besides the bytes, decides how a document is indexed."""
        return f"{READING}/{self.settings.ingest.chunk_tokens}/{self.settings.embedding.model}"

    async def reconcile(self) -> None:
        """Make catalog and index agree: unknown points go, documents that lost points are done again."""
        await asyncio.to_thread(self.queue.retire_orphans)
        # The index first: a version that appears there later was opened in the catalog before that.
        indexed = await self.vectors.versions()
        hidden = set(await asyncio.to_thread(self.catalog.hidden_versions))
        live = await asyncio.to_thread(self.catalog.live_versions)
        await self.vectors.delete(
            [version for version in indexed if version not in hidden and version not in live]
        )
        short = [version for version, count in live.items() if indexed.get(version, 0) != count]
        lost = [version for version in short if await self.vectors.settle(version) != live[version]]
        if lost:
            await asyncio.to_thread(self.queue.requeue, lost)
        await self.purge()

    async def purge(self) -> None:
        """Delete the points of replaced, removed and half-filled versions."""
        retired = await asyncio.to_thread(self.catalog.retired_versions)
        if retired:
            await asyncio.to_thread(revoke_kv, self.settings.home)
            await self.vectors.delete(retired)
            await asyncio.to_thread(self.catalog.forget, retired)

    async def remove(self, document_ids: Sequence[str]) -> None:
        """Forget documents: they stop answering at once, then their points go."""
        for document_id in document_ids:
            await asyncio.to_thread(self.catalog.remove, document_id)
        await self.purge()

    def _plan(self, listing: Listing, shelf: Shelf, tally: Tally, *, retry: bool) -> None:
        plan = self.queue.plan(listing.items, shelf, roots=listing.roots)
        again = plan.quarantined if retry else ()
        self.queue.enqueue([*plan.new, *plan.changed, *again], shelf)
        for document_id in plan.gone:
            self.catalog.remove(document_id)
        counts = self.catalog.counts()
        waiting = sum(
            counts[s] for s in (DocumentState.PENDING, DocumentState.PARSING, DocumentState.EMBEDDING)
        )
        resumed = max(0, waiting - len(plan.new) - len(plan.changed) - len(again))
        tally(
            Planned(
                new=len(plan.new),
                changed=len(plan.changed),
                gone=len(plan.gone),
                unchanged=max(0, len(plan.unchanged) - resumed),
                retried=len(again),
                resumed=resumed,
                waiting=waiting,
            )
        )
        for name in listing.unnameable:
            tally(Quarantined(name, "its name is not UTF-8: rename it"))
        if not retry:
            reasons = self.queue.reasons([shelf.document_id(item.uri) for item in plan.quarantined])
            for uri, reason in reasons:
                tally(Quarantined(uri, reason))

    async def _work(self, tally: Tally) -> None:
        # One document is embedded at a time; meanwhile the workers parse the next ones.
        embedding = asyncio.Semaphore(1)

        async def process(claim: Claim, read: Read) -> None:
            try:
                await self._index(claim, read, embedding, tally)
            except ParseError as error:
                await self._set_aside(claim, str(error), tally)
            except NotFound:
                tally.vanished += 1
                await asyncio.to_thread(self.catalog.remove, claim.document_id)
            except WorkerError as error:
                await self._after_a_death(claim, error, tally)

        await local.work(self.queue, process, self.settings.ingest, self._model())

    async def _index(self, claim: Claim, read: Read, embedding: asyncio.Semaphore, tally: Tally) -> None:
        if claim.attempts > self.settings.ingest.attempts:
            raise ParseError(f"the program ended {claim.attempts} times while it worked on this document")
        parsed = await read(claim.uri)
        if parsed["sha256"] != claim.sha256 and not claim.sha256.startswith("unread-"):
            await asyncio.to_thread(self.queue.rehash, claim.document_id, parsed["sha256"])
        tally(Parsed(claim.uri, len(parsed["chunks"])))
        async with embedding:
            await asyncio.to_thread(self.queue.advance, claim.document_id, DocumentState.EMBEDDING)
            version = await asyncio.to_thread(
                self.catalog.open_version,
                claim.document_id,
                title=title_of(parsed["title"], claim.uri),
                media_type=parsed["media_type"],
                pages=parsed["pages"],
            )
            chunks = identified(parsed["chunks"], claim.document_id, version)
            await asyncio.to_thread(self.catalog.save_chunks, version, chunks)
            await self._store(claim, version, chunks, tally)
            if await asyncio.to_thread(self.catalog.publish, claim.document_id, version):
                tally(Published(claim.uri, len(chunks)))

    async def _store(self, claim: Claim, version: int, chunks: Sequence[Chunk], tally: Tally) -> None:
        """Write all chunks and make sure that they are there. Raises IndexUnavailable when some are not."""
        for start in range(0, len(chunks), CHUNKS_PER_CALL):
            batch = chunks[start : start + CHUNKS_PER_CALL]
            done = await self.vectors.upsert(
                version,
                tenant=claim.tenant,
                collection=claim.collection,
                groups=claim.groups,
                chunks=[
                    {"id": each.id, "text": each.text, "heading": " > ".join(each.heading_path)}
                    for each in batch
                ],
            )
            tally(Embedded(claim.uri, len(batch), done["tokens"], done["embed_s"]))
        count = await self.vectors.settle(version)
        if count != len(chunks):
            raise IndexUnavailable(
                f"the index holds {count} of {len(chunks)} chunks of {claim.uri}; ingest again"
            )

    async def _after_a_death(self, claim: Claim, error: WorkerError, tally: Tally) -> None:
        """A child died over this document: try again, and set it aside when that happened too often."""
        await self.vectors.info()  # an index that cannot start is not the document's fault, and ends the run
        deaths = await asyncio.to_thread(self.queue.fail, claim.document_id)
        if deaths >= self.settings.ingest.attempts:
            await self._set_aside(claim, f"{deaths} attempts failed, the last with: {error}", tally)

    async def _set_aside(self, claim: Claim, reason: str, tally: Tally) -> None:
        await asyncio.to_thread(self.catalog.quarantine, claim.document_id, reason)
        tally(Quarantined(claim.uri, reason))

    def _model(self) -> Path:
        """The folder of the embedder, whose tokenizer measures the chunks."""
        model = self.settings.embedding.model
        folder = Path(model)
        return folder if folder.is_dir() else locate(entry(model, self.settings.home), self.settings.home)


def identified(drafts: Sequence[dict[str, Any]], document_id: str, version: int) -> list[Chunk]:
    """Chunks with ids that follow from document, version, place and text."""
    chunks = []
    for draft in drafts:
        key = "\0".join((document_id, str(version), str(draft["ordinal"]), draft["text"]))
        fields = {**draft, "heading_path": tuple(draft["heading_path"]), "pages": tuple(draft["pages"])}
        chunks.append(replace(Chunk(**fields), id=str(uuid.uuid5(NAMESPACE, key))))
    return chunks


def title_of(title: str, uri: str) -> str:
    """The document's own title if it is one, else its file name."""
    name = Path(uri).name
    left_by_a_program = (
        title.lower().startswith(("microsoft ", "untitled", "document")) or "." in title[-5:-2]
    )
    return title if len(title) > 3 and not left_by_a_program else name
