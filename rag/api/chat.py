"""OpenAI's chat endpoint over the assistant, streamed or whole, and the list of models it takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from rag.api.conversation import Conversation, conversation, model_names
from rag.api.state import Asker, Running
from rag.assembly import System
from rag.assistant import Delta, Event, Final, Sources
from rag.errors import Cancelled, RagError, WorkerError
from rag.types import Answer
from rag.wire import ChatRequest, error_body, rag_part, usage_part

router = APIRouter(prefix="/v1")


@router.get("/models")
async def models(system: Running, caller: Asker) -> dict[str, Any]:
    """What may stand in `model`: each tier, and each tier of each collection the caller may read."""
    names = model_names(await system.collections(caller))
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "permafrost"} for name in names]
    return {"object": "list", "data": data}


@router.post("/chat/completions")
async def chat_completions(body: ChatRequest, request: Request, system: Running, caller: Asker) -> Response:
    """A cited answer to the last message. Errors before the first word have their own status."""
    # Listing collections costs a read of the catalog: only for who names one.
    named = "/" in body.model or body.rag.collection is not None
    asked = conversation(body, await system.collections(caller) if named else ())
    reply = Reply(body, asked, system)
    events = system.assistant.ask(
        asked.question,
        caller,
        history=asked.history,
        collection=asked.collection,
        tier=asked.tier,
        limit=body.rag.limit,
    )
    if not body.stream:
        return JSONResponse(await until_gone(request, reply.whole(events)))
    # Wait for the first event, so that a failed search is a status and not a broken stream.
    first = await until_gone(request, anext(events))
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(reply.stream(first, events), media_type="text/event-stream", headers=headers)


class Reply:
    """One answer in OpenAI's shape."""

    def __init__(self, body: ChatRequest, asked: Conversation, system: System) -> None:
        self.body, self.asked, self.system = body, asked, system
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}

    async def whole(self, events: AsyncIterator[Event]) -> dict[str, Any]:
        """The answer as one object."""
        async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
            async for event in open_events:
                if isinstance(event, Final):
                    message = {"role": "assistant", "content": event.answer.text, "refusal": None}
                    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
                    return {
                        **self.head,
                        "object": "chat.completion",
                        "choices": [choice],
                        "usage": usage_part(event.answer.usage),
                        "rag": self.rag(event.answer),
                    }
        raise WorkerError("the answer ended before it was whole; ask again")

    async def stream(self, first: Event, events: AsyncIterator[Event]) -> AsyncIterator[str]:
        """The answer as server-sent events: role, text, then a last chunk with the `rag` object."""
        yield self.chunk({"role": "assistant", "content": ""})
        async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
            try:
                for line in self.lines(first):
                    yield line
                async for event in open_events:
                    for line in self.lines(event):
                        yield line
                yield "data: [DONE]\n\n"
            except RagError as error:
                yield data(error_body(error.message, status=error.status, code=error.code))

    def lines(self, event: Event) -> list[str]:
        """What one event is on the wire."""
        if isinstance(event, Delta):
            return [self.chunk({"content": event.text})]
        if isinstance(event, Sources):
            if not self.body.rag.passages:
                return []
            passages = [asdict(passage) for passage in event.passages]
            return [self.chunk({}, rag={"passages": passages})]
        lines = [self.chunk({}, finish="stop", rag=self.rag(event.answer))]
        if self.body.stream_options.include_usage:
            usage = usage_part(event.answer.usage)
            lines.append(
                data({**self.head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            )
        return lines

    def chunk(self, delta: dict[str, str], *, finish: str | None = None, **extra: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return data({**self.head, "object": "chat.completion.chunk", "choices": [choice], **extra})

    def rag(self, answer: Answer) -> dict[str, Any]:
        part = rag_part(
            answer,
            passages=self.body.rag.passages,
            model_sha256=self.system.model_sha256,
            ignored=self.asked.ignored,
        )
        return part.model_dump(mode="json")


async def until_gone(request: Request, work: Any) -> Any:
    """The result of `work`, which is cancelled when the caller goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled("the caller went away before the answer was whole")
        return task.result()
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def disconnected(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def data(message: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(message, ensure_ascii=False)}\n\n"
