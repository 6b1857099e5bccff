"""Permafrost over HTTP: the verbs and types of `Rag`, answered by a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from rag.assistant import Delta, Event, Final, Sources
from rag.errors import WorkerError, WorkerTimeout, WorkerUnavailable
from rag.sdk.knowledge import opened, settled
from rag.store.jobs import Job
from rag.types import Answer, Document, Message, Passage, Tier
from rag.wire import AUTO, DocumentsReply, JobsReply, RagPart, Receipt, SearchReply, UploadReply, restore

PASSAGES = TypeAdapter(tuple[Passage, ...])
DOCUMENT, JOB = TypeAdapter(Document), TypeAdapter(Job)


class Client:
    """A connection pool to one server. Close it, or use `with`. Errors are those of rag.errors."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        api_key: str = "",
        *,
        timeout_s: float = 120.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # A proxy of the environment must not see questions meant for a server of our own.
        self._http = httpx.Client(
            base_url=base_url.rstrip("/"),
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            trust_env=False,
            # Certificates are loaded only where there is one to check: that takes longer than a search.
            verify=base_url.lower().startswith("https:"),
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def search(self, query: str, *, collection: str | None = None, limit: int | None = None) -> list[Passage]:
        """Passages, best first."""
        body = {"query": query, "collection": collection, "limit": limit}
        return SearchReply.model_validate(self._send("POST", "/v1/search", json=body)).passages

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
    ) -> Answer:
        """The whole answer."""
        reply = self._send(
            "POST", "/v1/chat/completions", json=chat(question, history, collection, tier, limit)
        )
        return RagPart.model_validate(reply["rag"]).answer(reply["choices"][0]["message"]["content"])

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """Sources, then text as it is checked, then the whole answer. Leaving early cancels it there."""
        body = {**chat(question, history, collection, tier, limit), "stream": True}
        text = ""
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.is_error:
                    response.read()
                    raise restore(body_of(response))
                for chunk in events(response.iter_lines()):
                    if "error" in chunk:
                        raise restore(chunk)
                    for event in read_chunk(chunk, text):
                        if isinstance(event, Delta):
                            text += event.text
                        yield event
        except httpx.HTTPError as error:
            raise translated(error, self._http) from None

    def documents(self, *, collection: str | None = None) -> list[Document]:
        """The documents that may be read."""
        params = {"collection": collection} if collection else {}
        found: list[Document] = []
        while True:
            page = DocumentsReply.model_validate(self._send("GET", "/v1/documents", params=params))
            found += page.documents
            if page.next is None:
                return found
            params["after"] = page.next

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
        fields = {"collection": collection, "labels": list(labels), "groups": list(groups)}
        with opened(what, name) as file:
            reply = UploadReply.model_validate(
                self._send("POST", "/v1/documents", files={"file": file}, data=fields)
            )
        document = reply.documents[0]
        return settled(self, reply.job, document.id, timeout_s) if wait else document

    def document(self, document_id: str) -> Document:
        """One document. Raises NotFound, also for one that may not be read."""
        return DOCUMENT.validate_python(self._send("GET", f"/v1/documents/{quote(document_id, safe='')}"))

    def delete(self, document_id: str) -> Receipt:
        """Forget a document and the parts in it; what went, and what a look afterwards found."""
        return Receipt.model_validate(self._send("DELETE", f"/v1/documents/{quote(document_id, safe='')}"))

    def jobs(self) -> list[Job]:
        """Runs of ingestion, newest first."""
        return JobsReply.model_validate(self._send("GET", "/v1/jobs", params={"limit": 1000})).jobs

    def job(self, job_id: str) -> Job:
        """One run of ingestion. Raises NotFound."""
        return JOB.validate_python(self._send("GET", f"/v1/jobs/{quote(job_id, safe='')}"))

    def _send(self, method: str, path: str, **content: Any) -> Any:
        try:
            response = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise translated(error, self._http) from None
        if response.is_error:
            raise restore(body_of(response))
        return response.json()


def chat(
    question: str,
    history: Sequence[Message],
    collection: str | None,
    tier: Tier | str | None,
    limit: int | None,
) -> dict[str, Any]:
    """A chat request that asks for everything an Answer holds."""
    turns = [{"role": turn.role, "content": turn.content} for turn in history]
    return {
        "model": str(tier or AUTO),
        "messages": [*turns, {"role": "user", "content": question}],
        "rag": {"collection": collection, "limit": limit, "passages": True},
    }


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON of each server-sent event, up to [DONE]."""
    for line in lines:
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
    raise WorkerError("the server ended the answer before it was whole; ask again")


def read_chunk(chunk: dict[str, Any], text: str) -> Iterator[Event]:
    """What one chunk says; `text` is the answer so far."""
    extra = chunk.get("rag")
    for choice in chunk["choices"]:
        if content := choice["delta"].get("content"):
            yield Delta(content)
        if choice["finish_reason"] and extra:
            yield Final(RagPart.model_validate(extra).answer(text))
        elif extra:
            yield Sources(PASSAGES.validate_python(extra["passages"]))


def body_of(response: httpx.Response) -> Any:
    """The body of an error, as JSON where it is JSON."""
    try:
        return response.json()
    except ValueError:
        return f"the server answered with status {response.status_code}"


def translated(error: httpx.HTTPError, http: httpx.Client) -> WorkerError:
    """One of our errors for what went wrong on the network."""
    if isinstance(error, httpx.TimeoutException):
        return WorkerTimeout(f"the server at {http.base_url} did not answer in time")
    return WorkerUnavailable(f"no server answers at {http.base_url}; start one with rag serve")
