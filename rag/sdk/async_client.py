"""`Client` for code that awaits: the same verbs, requests and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from rag.answering.events import Event
from rag.sdk import calls
from rag.sdk.connection import Connection, Result
from rag.sdk.knowledge import Kind, Progress, Side
from rag.sdk.money import AsyncMoney
from rag.sdk.pools import Pools
from rag.sdk.reader import AnswerReader
from rag.sdk.steps import Call, Pause, Steps
from rag.sdk.talks import AsyncTalks
from rag.store.jobs import Job
from rag.types import Answer, Chunk, Document, Message, Passage, Principal, Tier
from rag.wire import Receipt

if TYPE_CHECKING:
    from rag.evaluation.record import Record

T = TypeVar("T")


class AsyncClient:
    """A connection pool to one server. Close it, or use `async with`. Errors are those of rag.errors.

    `base_url` and `api_key` default to RAG_URL and RAG_API_KEY. What may be repeated is sent up to
    `max_retries` times more when the server cannot be reached or is too busy. `conversations` and `money`
    have verbs of their own. Several tasks, and event loops of several threads, may use one client.

    >>> import asyncio
    >>> async def both() -> list[str]:
    ...     async with AsyncClient("http://127.0.0.1:8000") as client:
    ...         asked = client.ask("paid leave"), client.ask("hotels")
    ...         return [answer.text for answer in await asyncio.gather(*asked)]
    >>> asyncio.run(both())[1]
    'Hotels are paid up to 140 euros a night. [1]'
    """

    def __init__(
        self,
        base_url: str = "",
        api_key: str = "",
        *,
        timeout_s: float = 120.0,
        max_retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = Connection.of(base_url, api_key, timeout_s, max_retries)
        options = self._connection.options()
        self._pools = Pools(lambda: httpx.AsyncClient(transport=transport, **options))
        self.conversations, self.money = AsyncTalks(self._run), AsyncMoney(self._run)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of the running event loop; call it on each loop the client was used on."""
        await self._pools.close()

    async def search(
        self, query: str, *, collection: str | None = None, limit: int | None = None, filter: str = ""
    ) -> list[Passage]:
        """Passages, best first."""
        return await self._run(calls.search(query, collection=collection, limit=limit, filter=filter))

    async def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
        filter: str = "",
        max_cost: float | None = None,
        conversation: str | None = None,
    ) -> Answer:
        """The whole answer."""
        return await self._run(
            calls.ask(
                question,
                history=history,
                collection=collection,
                tier=tier,
                limit=limit,
                filter=filter,
                max_cost=max_cost,
                conversation=conversation,
            )
        )

    async def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
        filter: str = "",
        max_cost: float | None = None,
        conversation: str | None = None,
    ) -> AsyncIterator[Event]:
        """Sources, then text as it is checked, then the whole answer. Leaving early cancels it there.

        Raises AnswerBroken, with what arrived, when the connection ends in the middle.
        """
        steps = calls.stream(
            question,
            history=history,
            collection=collection,
            tier=tier,
            limit=limit,
            filter=filter,
            max_cost=max_cost,
            conversation=conversation,
        )
        reader = AnswerReader()
        try:
            response = await self._run(steps)
            try:
                async for line in response.aiter_lines():
                    for event in reader.read(line):
                        yield event
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise reader.broken(self._connection.broke(error)) from None
        reader.end()

    async def embed(self, texts: Sequence[str], *, side: Side = "document") -> list[list[float]]:
        """A vector of length one for each text, as the index embeds documents or questions."""
        return await self._run(calls.embed(texts, side=side))

    async def collections(self) -> list[str]:
        """Names of the collections that hold a document that may be read."""
        return await self._run(calls.collections())

    async def documents(self, *, collection: str | None = None) -> list[Document]:
        """The documents that may be read."""
        return await self._run(calls.documents(collection=collection))

    async def upload(
        self,
        what: str | Path | bytes,
        *,
        name: str = "",
        collection: str = "default",
        labels: Sequence[str] = (),
        groups: Sequence[str] = (),
        wait: bool = True,
        timeout_s: float = 600.0,
    ) -> Document:
        """Send a file, or bytes with a `name`; the document it became, live or quarantined with a reason.

        Raises PayloadTooLarge, and with `wait` WorkerTimeout, Cancelled, or WorkerError when its job failed.
        """
        return await self._run(
            calls.upload(
                what,
                name=name,
                collection=collection,
                labels=labels,
                groups=groups,
                wait=wait,
                timeout_s=timeout_s,
            )
        )

    async def document(self, document_id: str) -> Document:
        """One document. Raises NotFound, also for one that may not be read."""
        return await self._run(calls.document(document_id))

    async def chunks(self, document_id: str) -> list[Chunk]:
        """The text of a document's live version, piece by piece. Raises NotFound."""
        return await self._run(calls.chunks(document_id))

    async def delete(self, document_id: str) -> Receipt:
        """Forget a document and the parts in it; what went, and what a look afterwards found."""
        return await self._run(calls.delete(document_id))

    async def jobs(self) -> list[Job]:
        """Runs of ingestion, newest first."""
        return await self._run(calls.jobs())

    async def job(self, job_id: str) -> Job:
        """One run of ingestion. Raises NotFound."""
        return await self._run(calls.job(job_id))

    async def pause_job(self, job_id: str) -> Job:
        """Let its documents wait; those in work are finished. Raises NotFound; BadRequest when it is over."""
        return await self._run(calls.turn_job(job_id, "pause"))

    async def resume_job(self, job_id: str) -> Job:
        """Let a paused run go on. Raises NotFound; BadRequest when it is over."""
        return await self._run(calls.turn_job(job_id, "resume"))

    async def cancel_job(self, job_id: str) -> Job:
        """End a run; what it published stays. Raises NotFound; BadRequest when it is over."""
        return await self._run(calls.turn_job(job_id, "cancel"))

    async def retry_job(self, job_id: str) -> Job:
        """Try again what a run has quarantined. Raises NotFound."""
        return await self._run(calls.turn_job(job_id, "retry"))

    async def prioritise_job(self, job_id: str, priority: int) -> Job:
        """Let what it has still to do go before that of runs with a lower one; 0 is usual. Raises NotFound;
        BadRequest when it is over."""
        return await self._run(calls.prioritise_job(job_id, priority))

    async def evaluate(
        self,
        dataset: str | Path,
        *,
        kind: Kind = "retrieval",
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
        seed: int = 1,
        progress: Progress | None = None,
    ) -> Record:
        """How well search finds what answers, or how right whole answers are, over a folder of questions.

        They are asked of a `collection` of the server, which has to be named, with the rights of the key;
        the scores are counted here. Seconds include the network, but no waiting to try again. Raises
        BadRequest for a data set that cannot be measured, UnknownModel for a collection that is not there.
        """
        from rag.sdk.evaluating import chosen, evaluated

        benchmark = await asyncio.to_thread(chosen, dataset, kind, limit, seed)
        return await evaluated(
            self._connection.url,
            self._run,
            self.stream,
            benchmark,
            kind=kind,
            collection=collection,
            tier=tier,
            seed=seed,
            progress=progress,
        )

    async def whoami(self) -> Principal:
        """Who asks: tenant, groups, rights, collections."""
        return await self._run(calls.whoami())

    async def status(self) -> dict[str, Any]:
        """Counts of documents by state, points in the index, version and model."""
        return await self._run(calls.status())

    async def ready(self) -> dict[str, Any]:
        """Whether index and model can be used. Raises WorkerError that says what cannot."""
        return await self._run(calls.ready())

    async def _run(self, steps: Steps[T]) -> T:
        todo, result = self._connection.carried_out(steps), None
        while True:
            try:
                step = todo.send(result)
            except StopIteration as done:
                value: T = done.value
                return value
            result = await self._do(step)

    async def _do(self, step: Call | Pause) -> Result | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        http = self._pools.here()
        request = http.build_request(step.method, step.path, headers=dict(step.headers), **step.content)
        try:
            response = await http.send(request, stream=step.streamed)
            if step.streamed and response.is_error:
                await response.aread()
            return response
        except httpx.HTTPError as error:
            return error
