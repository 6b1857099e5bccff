"""One claimed document: read and cut, embedded, stored, verified, published; or set aside with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from ingest.indexing import Indexer, Read
from ingest.jobs import Enqueued, LeftOut, Published, Quarantined, Tally, Unchanged
from ingest.runners.runner import Rest
from rag.errors import Forbidden, NotFound, ParseError, SourceError, WorkerError
from rag.store.catalog import Catalog
from rag.store.generations import Generation
from rag.store.intake import Intake
from rag.store.queue import Claim, Listed, Queue, Until

# Raise it when chunks of the same bytes come out differently: every document is then indexed again.
READING = "4"
MAX_DEPTH = 5
VANISHED = "it vanished while it was read; what is live of it answers until the next run looks again"
INSIDE = "!/"  # between the uri of a container and the name of a part


class Processing:
    """What is done with each document of a run. What goes wrong with one keeps no other from the index."""

    def __init__(
        self,
        queue: Queue,
        catalog: Catalog,
        indexer: Indexer,
        generation: Generation,
        tally: Tally,
        *,
        reader_of: Callable[[str], str],
        attempts: int,
    ) -> None:
        """`reader_of`: what reads a document of that name; `attempts` may fail before it is set aside."""
        self._queue, self._catalog, self._indexer = queue, catalog, indexer
        self._intake = Intake(catalog.database)
        self._generation, self._tally = generation, tally
        self._reader_of, self._attempts = reader_of, attempts

    async def process(self, claim: Claim, read: Read) -> Rest | None:
        """Read a document; what is left to do then. Errors of the index end the run."""
        async with self._minding(claim):
            if parsed := await self._read(claim, read):
                return self._store(claim, parsed, await self._indexer.admit(claim, parsed))
        return None

    async def _store(self, claim: Claim, parsed: Mapping[str, Any], admitted: int) -> None:
        try:
            async with self._minding(claim):
                await self._publish(claim, parsed)
        finally:
            await self._indexer.discharge(admitted)

    @asynccontextmanager
    async def _minding(self, claim: Claim) -> AsyncIterator[None]:
        try:
            yield
        except (ParseError, Forbidden) as error:
            await self._set_aside(claim, str(error))
        except SourceError as error:
            await self._after_a_failure(claim, error, Until.NEXT_RUN)
        except NotFound as error:
            await self._after_a_loss(claim, error)
        except WorkerError as error:
            # An index that cannot start is not the document's fault: it ends the run.
            await self._indexer.knock()
            await self._after_a_failure(claim, error)

    async def _read(self, claim: Claim, read: Read) -> Mapping[str, Any] | None:
        """What is in a document; None when that is live already."""
        if claim.attempts > self._attempts:
            raise ParseError(f"the program ended {claim.attempts} times while it worked on this document")
        parsed = await self._indexer.read(claim, read)
        if not parsed.get("same"):
            return parsed
        await asyncio.to_thread(self._queue.unchanged, claim)
        self._tally(Unchanged(claim.uri))
        return None

    async def _publish(self, claim: Claim, parsed: Mapping[str, Any]) -> None:
        parts = self._parts(claim, parsed.get("parts", ()))
        take = partial(
            self._intake.take,
            claim,
            parsed["sha256"],
            parts=parts,
            recipe=READING,
            generation=self._generation.number,
            worker=self._queue.worker,
        )
        filled = await self._indexer.fill(claim, parsed, take)
        if filled is None:
            return
        if parts:
            self._tally(Enqueued(claim.uri, len(parts)))
        version, chunks = filled
        if await asyncio.to_thread(self._catalog.publish, claim.document_id, version):
            self._tally(Published(claim.uri, len(chunks)))
        else:
            await self._indexer.forsake(version)

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
                reader=self._reader_of(part["name"]),
            )
            for part in parts
        ]

    async def _after_a_loss(self, claim: Claim, error: NotFound) -> None:
        """What vanished before it was ever read is no document; what answers waits for the next listing."""
        if claim.is_kept:
            await self._after_a_failure(claim, error)
            return
        forgotten = await asyncio.to_thread(self._queue.vanished, claim)
        if forgotten:
            self._tally.vanished += 1
        elif forgotten is False:
            self._tally(LeftOut(claim.uri, VANISHED))

    async def _after_a_failure(self, claim: Claim, error: Exception, until: Until = Until.CHANGED) -> None:
        """Try again what may have been bad luck, and set it aside when that happened too often."""
        failures = claim.attempts + 1
        if failures < self._attempts:
            await asyncio.to_thread(self._queue.fail, claim)
        else:
            reason = f"{failures} attempts failed, the last with: {error}"
            await self._set_aside(claim, reason, until)

    async def _set_aside(self, claim: Claim, reason: str, until: Until = Until.CHANGED) -> None:
        if await asyncio.to_thread(partial(self._queue.set_aside, claim, reason, until=until)):
            self._tally(Quarantined(claim.uri, reason))
