"""OpenAI's responses endpoint, the part that chat clients use: a conversation in, a cited message out."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from rag.api.asking import Errand, Numbered, answers, lookup, several, until_gone
from rag.api.conversation import Conversation, of_responses
from rag.api.reply import named, refuses
from rag.api.state import Asker, Running
from rag.api.streamed import EventStream
from rag.assembly import System
from rag.assistant import Delta, Final
from rag.errors import RagError
from rag.types import Answer, Citation
from rag.wire import AUTO, ResponsesReply, ResponsesRequest, rag_part

router = APIRouter(prefix="/v1")
EMPTY_TEXT = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
CUT = {"reason": "max_output_tokens"}


@router.post("/responses", response_model=ResponsesReply)
async def responses(body: ResponsesRequest, request: Request, system: Running, caller: Asker) -> Response:
    """A cited answer to the last message. Nothing is stored: `previous_response_id` is refused."""
    by_name = body.model not in (AUTO, *system.tiers) or bool(body.rag.collection)
    asked = of_responses(body, await lookup(system, caller, named=by_name), system.tiers)
    reply = ResponsesShape(body, system, asked)
    events = several(Errand.of(request, system, caller, body.rag), [asked])
    if body.stream:
        first = await until_gone(request, anext(events))
        return EventStream(reply.stream(first, events))
    (answer,) = await until_gone(request, answers(events))
    return JSONResponse(reply.response(answer))


class ResponsesShape:
    """One answer in the shape of the responses API."""

    def __init__(self, body: ResponsesRequest, system: System, asked: Conversation) -> None:
        self.body, self.system = body, system
        self.schema, self.ignored = asked.manner.schema, list(asked.ignored)
        self.id, self.item = f"resp_{uuid.uuid4().hex}", f"msg_{uuid.uuid4().hex}"
        self.created, self.number = int(time.time()), 0

    def response(self, answer: Answer | None) -> dict[str, Any]:
        """The whole response; before there is an answer it is in progress."""
        found: dict[str, Any] = {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "model": self.body.model,
            "status": status_of(answer) if answer else "in_progress",
            "error": None,
            "incomplete_details": CUT if answer and answer.finish == "length" else None,
            "instructions": None,
            "metadata": {},
            "output": [self.message(answer)] if answer else [],
            "parallel_tool_calls": False,
            "temperature": self.body.temperature,
            "tool_choice": "none",
            "tools": [],
            "top_p": self.body.top_p,
            "usage": None,
        }
        if answer:
            part = rag_part(
                answer,
                passages=self.body.rag.passages,
                model_sha256=self.system.model_sha256,
                ignored=self.ignored,
            )
            found |= {"usage": usage_of(answer), "rag": part.model_dump(mode="json")}
        return found

    def message(self, answer: Answer) -> dict[str, Any]:
        return {
            "type": "message",
            "id": self.item,
            "status": status_of(answer),
            "role": "assistant",
            "content": [self.part(answer)],
        }

    def part(self, answer: Answer) -> dict[str, Any]:
        """The text with its sources as annotations, each at its marker; a refusal in place of JSON."""
        if refuses(self.schema, answer):
            return {"type": "refusal", "refusal": answer.text}
        notes = [note(answer.text, citation) for citation in answer.citations]
        return {"type": "output_text", "text": answer.text, "annotations": notes, "logprobs": []}

    async def stream(self, first: Numbered, events: AsyncIterator[Numbered]) -> AsyncGenerator[str, None]:
        """The events a client of the responses API waits for."""
        item = {
            "type": "message",
            "id": self.item,
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        yield self.event("response.created", response=self.response(None))
        yield self.event("response.in_progress", response=self.response(None))
        yield self.event("response.output_item.added", output_index=0, item=item)
        # Whether it is JSON is known only with the outcome.
        if not self.schema:
            yield self.event("response.content_part.added", **self.where, part=EMPTY_TEXT)
        async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
            try:
                for line in self.lines(first):
                    yield line
                async for each in open_events:
                    for line in self.lines(each):
                        yield line
            except RagError as error:
                told = {"code": error.code, "message": error.message}
                yield self.event(
                    "response.failed", response=self.response(None) | {"status": "failed", "error": told}
                )

    @property
    def where(self) -> dict[str, Any]:
        """The one part of the one message."""
        return {"item_id": self.item, "output_index": 0, "content_index": 0}

    def lines(self, each: Numbered) -> list[str]:
        """What one event of ours is in theirs."""
        event = each[1]
        if isinstance(event, Delta) and not self.schema:
            return [self.event("response.output_text.delta", **self.where, delta=event.text, logprobs=[])]
        if not isinstance(event, Final):
            return []
        answer = event.answer
        return [
            *self.said(answer),
            self.event("response.content_part.done", **self.where, part=self.part(answer)),
            self.event("response.output_item.done", output_index=0, item=self.message(answer)),
            self.event(f"response.{status_of(answer)}", response=self.response(answer)),
        ]

    def said(self, answer: Answer) -> list[str]:
        """The end of the text; of JSON, or the refusal in its place, all of it."""
        where = self.where
        if not self.schema:
            return [self.event("response.output_text.done", **where, text=answer.text, logprobs=[])]
        if refuses(self.schema, answer):
            return [
                self.event("response.content_part.added", **where, part={"type": "refusal", "refusal": ""}),
                self.event("response.refusal.delta", **where, delta=answer.text),
                self.event("response.refusal.done", **where, refusal=answer.text),
            ]
        return [
            self.event("response.content_part.added", **where, part=EMPTY_TEXT),
            self.event("response.output_text.delta", **where, delta=answer.text, logprobs=[]),
            self.event("response.output_text.done", **where, text=answer.text, logprobs=[]),
        ]

    def event(self, kind: str, **fields: Any) -> str:
        self.number += 1
        return named(kind, {"type": kind, "sequence_number": self.number - 1, **fields})


def status_of(answer: Answer) -> str:
    """Cut short where the tokens ended before the words."""
    return "incomplete" if answer.finish == "length" else "completed"


def note(text: str, citation: Citation) -> dict[str, Any]:
    """A citation as an annotation of the text."""
    return {
        "type": "file_citation",
        "file_id": citation.document_id,
        "filename": citation.title,
        "index": max(0, text.find(f"[{citation.marker}]")),
    }


def usage_of(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
