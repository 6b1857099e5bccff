"""Permafrost over HTTP: the verbs and types of `Rag`, answered by a running server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from rag.answering.events import Event
from rag.sdk import calls
from rag.sdk.connection import Connection, Result
from rag.sdk.knowledge import Kind, Progress, Side
from rag.sdk.money import ClientMoney
from rag.sdk.reader import AnswerReader
from rag.sdk.steps import Call, Pause, Steps
from rag.sdk.talks import ClientTalks
from rag.store.jobs import Job
from rag.types import Answer, Chunk, Document, Message, Passage, Principal, Tier
from rag.wire import Receipt

if TYPE_CHECKING:
    from rag.evaluation.record import Record

T = TypeVar("T")


class Client:
    """A connection pool to one server. Close it, or use `with`. Errors are those of rag.errors.

    `base_url` and `api_key` default to RAG_URL and RAG_API_KEY. What may be repeated is sent up to
    `max_retries` times more when the server cannot be reached or is too busy. `conversations` and `money`
    have verbs of their own. Several threads may use one client.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     answer = client.ask("How many days of paid leave?")
    >>> answer.text, [(cited.title, cited.page) for cited in answer.citations]
    ('Employees have 28 days of paid leave a year. [1]', [('Leave', 2)])
    """

    def __init__(
        self,
        base_url: str = "",
        api_key: str = "",
        *,
        timeout_s: float = 120.0,
        max_retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection.of(base_url, api_key, timeout_s, max_retries)
        self._http = httpx.Client(transport=transport, **self._connection.options())
        self.conversations, self.money = ClientTalks(self._run), ClientMoney(self._run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def search(
        self, query: str, *, collection: str | None = None, limit: int | None = None, filter: str = ""
    ) -> list[Passage]:
        """Passages, best first, with the score of each leg.

        `filter` is as "label:policy language:de date:2023..". Raises UnknownModel for a collection that is
        not there, BadRequest for a filter that is none.

        >>> [passage.title for passage in client.search("paid leave", limit=1)]
        ['Leave']
        """
        return self._run(calls.search(query, collection=collection, limit=limit, filter=filter))

    def ask(
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
        """The whole answer; its `outcome` says whether the documents gave one.

        `tier`: who words it; None: the router chooses. `max_cost`, in the server's currency: BudgetExceeded
        where no cheaper way is left. `conversation`: an id or "new"; its turns take the place of `history`,
        and the request is not sent twice. Raises UnknownModel, NotFound, ContextTooLong, RateLimited.

        >>> client.ask("Which submarine?").outcome.value
        'not_found'
        """
        return self._run(
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

    def stream(
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
    ) -> Iterator[Event]:
        """Sources, then text as it is checked, then the whole answer. Leaving early cancels it there.

        Takes and raises what `ask` does, and AnswerBroken, with what arrived, when the connection ends in the
        middle.

        >>> from rag.answering.events import Delta
        >>> "".join(event.text for event in client.stream("paid leave") if isinstance(event, Delta))
        'Employees have 28 days of paid leave a year. [1]'
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
            with contextlib.closing(self._run(steps)) as response:
                for line in response.iter_lines():
                    yield from reader.read(line)
        except httpx.HTTPError as error:
            raise reader.broken(self._connection.broke(error)) from None
        reader.end()

    def embed(self, texts: Sequence[str], *, side: Side = "document") -> list[list[float]]:
        """A vector of length one for each text, as the index embeds documents or questions."""
        return self._run(calls.embed(texts, side=side))

    def collections(self) -> list[str]:
        """Names of the collections that hold a document that may be read.

        >>> client.collections()
        ['handbook']
        """
        return self._run(calls.collections())

    def documents(self, *, collection: str | None = None) -> list[Document]:
        """The documents that may be read.

        >>> [document.title for document in client.documents(collection="handbook")][:1]
        ['Leave']
        """
        return self._run(calls.documents(collection=collection))

    def upload(
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
        return self._run(
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

    def document(self, document_id: str) -> Document:
        """One document. Raises NotFound, also for one that may not be read."""
        return self._run(calls.document(document_id))

    def chunks(self, document_id: str) -> list[Chunk]:
        """The text of a document's live version, piece by piece. Raises NotFound."""
        return self._run(calls.chunks(document_id))

    def delete(self, document_id: str) -> Receipt:
        """Forget a document and the parts in it; what went, and what a look afterwards found."""
        return self._run(calls.delete(document_id))

    def jobs(self) -> list[Job]:
        """Runs of ingestion, newest first."""
        return self._run(calls.jobs())

    def job(self, job_id: str) -> Job:
        """One run of ingestion. Raises NotFound."""
        return self._run(calls.job(job_id))

    def pause_job(self, job_id: str) -> Job:
        """Let its documents wait; those in work are finished. Raises NotFound; BadRequest when it is over."""
        return self._run(calls.turn_job(job_id, "pause"))

    def resume_job(self, job_id: str) -> Job:
        """Let a paused run go on. Raises NotFound; BadRequest when it is over."""
        return self._run(calls.turn_job(job_id, "resume"))

    def cancel_job(self, job_id: str) -> Job:
        """End a run; what it published stays. Raises NotFound; BadRequest when it is over."""
        return self._run(calls.turn_job(job_id, "cancel"))

    def retry_job(self, job_id: str) -> Job:
        """Try again what a run has quarantined. Raises NotFound."""
        return self._run(calls.turn_job(job_id, "retry"))

    def prioritise_job(self, job_id: str, priority: int) -> Job:
        """Let what it has still to do go before that of runs with a lower one; 0 is usual. Raises NotFound;
        BadRequest when it is over."""
        return self._run(calls.prioritise_job(job_id, priority))

    def evaluate(
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
        from rag.sdk.evaluating import AtOnce, chosen, evaluated, finished

        verbs = AtOnce(self._run, self.stream)
        return finished(
            evaluated(
                self._connection.url,
                verbs.run,
                verbs.stream,
                chosen(dataset, kind, limit, seed),
                kind=kind,
                collection=collection,
                tier=tier,
                seed=seed,
                progress=progress,
            )
        )

    def whoami(self) -> Principal:
        """Who asks: tenant, groups, rights, collections."""
        return self._run(calls.whoami())

    def status(self) -> dict[str, Any]:
        """Counts of documents by state, points in the index, version and model."""
        return self._run(calls.status())

    def ready(self) -> dict[str, Any]:
        """Whether index and model can be used. Raises WorkerError that says what cannot."""
        return self._run(calls.ready())

    def _run(self, steps: Steps[T]) -> T:
        todo, result = self._connection.carried_out(steps), None
        while True:
            try:
                step = todo.send(result)
            except StopIteration as done:
                value: T = done.value
                return value
            result = self._do(step)

    def _do(self, step: Call | Pause) -> Result | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        request = self._http.build_request(step.method, step.path, headers=dict(step.headers), **step.content)
        try:
            response = self._http.send(request, stream=step.streamed)
            if step.streamed and response.is_error:
                response.read()
            return response
        except httpx.HTTPError as error:
            return error
