"""What each verb sends and how it reads the replies: one description, which both clients carry out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rag.errors import NotFound
from rag.sdk.knowledge import Side, opened
from rag.sdk.patience import Patience, settled
from rag.sdk.steps import Call, Pause, Steps, pages, safe
from rag.store.jobs import Job
from rag.types import Answer, Chunk, Document, Message, Passage, Principal
from rag.wire import AUTO, ChunksReply, DocumentsReply, JobsReply, RagPart, Receipt, SearchReply, UploadReply

DOCUMENT, JOB = TypeAdapter(Document), TypeAdapter(Job)
PRINCIPAL = TypeAdapter(Principal)
TEXTS_AT_ONCE = 256


def search(query: str, *, collection: str | None, limit: int | None, filter: str) -> Steps[list[Passage]]:
    """POST /v1/search."""
    body = {"query": query, "collection": collection, "limit": limit, "filter": filter}
    return SearchReply.model_validate((yield Call("POST", "/v1/search", {"json": body}))).passages


def ask(question: str, **wishes: Any) -> Steps[Answer]:
    """POST /v1/chat/completions, whole."""
    body = chat(question, **wishes)
    reply = yield Call("POST", "/v1/chat/completions", {"json": body}, repeatable=not keeps(body))
    return RagPart.model_validate(reply["rag"]).answer(reply["choices"][0]["message"]["content"])


def stream(question: str, **wishes: Any) -> Steps[Any]:
    """POST /v1/chat/completions, streamed: the open response."""
    body = {**chat(question, **wishes), "stream": True}
    call = Call("POST", "/v1/chat/completions", {"json": body}, repeatable=not keeps(body), streamed=True)
    return (yield call)


def chat(
    question: str,
    *,
    history: Sequence[Message],
    collection: str | None,
    tier: str | None,
    limit: int | None,
    filter: str,
    max_cost: float | None,
    conversation: str | None,
) -> dict[str, Any]:
    """A chat request that asks for everything an Answer holds."""
    turns = [{"role": turn.role, "content": turn.content} for turn in history]
    asked = {"collection": collection, "limit": limit, "filter": filter, "max_cost": max_cost}
    return {
        "model": str(tier or AUTO),
        "messages": [*turns, {"role": "user", "content": question}],
        "rag": {**asked, "passages": True, "conversation": conversation},
    }


def keeps(body: Mapping[str, Any]) -> bool:
    """Whether the answer goes into a conversation, where it must not stand twice."""
    return body["rag"]["conversation"] is not None


def embed(texts: Sequence[str], *, side: Side) -> Steps[list[list[float]]]:
    """POST /v1/embeddings, as many texts at a time as it takes."""
    vectors: list[list[float]] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        body = {"input": list(texts[start : start + TEXTS_AT_ONCE]), "input_type": side}
        reply = yield Call("POST", "/v1/embeddings", {"json": body})
        rows = sorted(reply["data"], key=lambda row: int(row["index"]))
        vectors += [row["embedding"] for row in rows]
    return vectors


def collections() -> Steps[list[str]]:
    """GET /v1/documents: what they say of their collections."""
    found = yield from documents(collection=None)
    return sorted({document.collection for document in found})


def documents(*, collection: str | None) -> Steps[list[Document]]:
    """GET /v1/documents, page after page."""
    params = {"collection": collection} if collection else {}
    found = yield from pages("/v1/documents", DocumentsReply, params)
    return [each for page in found for each in page.documents]


def upload(
    what: str | Path | bytes,
    *,
    name: str,
    collection: str,
    labels: Sequence[str],
    groups: Sequence[str],
    wait: bool,
    timeout_s: float,
) -> Steps[Document]:
    """POST /v1/documents, then looks at its job until that is over."""
    fields = {"collection": collection, "labels": list(labels), "groups": list(groups)}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    with opened(what, name) as file:
        body = yield Call("POST", "/v1/documents", {"files": {"file": file}, "data": fields}, key)
    reply = UploadReply.model_validate(body)
    if not wait:
        return reply.documents[0]
    patience = Patience(timeout_s)
    while pause_s := patience.pause_s(found := (yield from job(reply.job))):
        yield Pause(pause_s)
    try:
        handed_in = yield from document(reply.documents[0].id)
    except NotFound:
        handed_in = None
    return settled(found, handed_in)


def document(document_id: str) -> Steps[Document]:
    """GET /v1/documents/{id}."""
    return DOCUMENT.validate_python((yield Call("GET", f"/v1/documents/{safe(document_id)}")))


def chunks(document_id: str) -> Steps[list[Chunk]]:
    """GET /v1/documents/{id}/chunks, page after page."""
    found = yield from pages(f"/v1/documents/{safe(document_id)}/chunks", ChunksReply, {"limit": 1000})
    return [each for page in found for each in page.chunks]


def delete(document_id: str) -> Steps[Receipt]:
    """DELETE /v1/documents/{id}."""
    call = Call("DELETE", f"/v1/documents/{safe(document_id)}", repeatable=False)
    return Receipt.model_validate((yield call))


def jobs() -> Steps[list[Job]]:
    """GET /v1/jobs."""
    return JobsReply.model_validate((yield Call("GET", "/v1/jobs", {"params": {"limit": 1000}}))).jobs


def job(job_id: str) -> Steps[Job]:
    """GET /v1/jobs/{id}."""
    return JOB.validate_python((yield Call("GET", f"/v1/jobs/{safe(job_id)}")))


def turn_job(job_id: str, verb: str) -> Steps[Job]:
    """POST /v1/jobs/{id}/{verb}: pause, resume, cancel or retry."""
    return JOB.validate_python((yield Call("POST", f"/v1/jobs/{safe(job_id)}/{verb}", repeatable=False)))


def prioritise_job(job_id: str, priority: int) -> Steps[Job]:
    """POST /v1/jobs/{id}/priority; twice is as once."""
    call = Call("POST", f"/v1/jobs/{safe(job_id)}/priority", {"json": {"priority": priority}})
    return JOB.validate_python((yield call))


def whoami() -> Steps[Principal]:
    """GET /v1/whoami."""
    return PRINCIPAL.validate_python((yield Call("GET", "/v1/whoami")))


def status() -> Steps[dict[str, Any]]:
    """GET /v1/status."""
    return dict((yield Call("GET", "/v1/status")))


def ready() -> Steps[dict[str, Any]]:
    """GET /readyz, asked once: not to be ready is an answer."""
    return dict((yield Call("GET", "/readyz", repeatable=False)))
