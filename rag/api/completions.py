"""OpenAI's older completions endpoint: each prompt is a question that the documents answer."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from rag.api.asking import Errand, Numbered, answers, lookup, several, until_gone
from rag.api.conversation import of_completion
from rag.api.reply import data, total
from rag.api.state import Asker, Running
from rag.api.streamed import EventStream
from rag.assembly import System
from rag.assistant import Delta, Final
from rag.errors import RagError
from rag.types import Answer, Usage
from rag.wire import AUTO, CompletionRequest, TextCompletion, error_body, rag_part, usage_part

router = APIRouter(prefix="/v1")


@router.post("/completions", response_model=TextCompletion)
async def completions(body: CompletionRequest, request: Request, system: Running, caller: Asker) -> Response:
    """A cited answer to each prompt. There is no free continuation: nothing is said without a source."""
    by_name = body.model not in (AUTO, *system.tiers) or bool(body.rag.collection)
    known = await lookup(system, caller, named=by_name)
    asked = [of_completion(body, prompt, known, system.tiers) for prompt in body.prompts]
    head = {"id": f"cmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
    head["object"] = "text_completion"
    events = several(Errand.of(request, system, caller, body.rag), asked)
    if body.stream:
        first = await until_gone(request, anext(events))
        return EventStream(stream(head, body, system, first, events))
    found = await until_gone(request, answers(events))
    choices = [
        {**choice(number, answer.text, answer.finish), "rag": part(answer, system)}
        for number, answer in enumerate(found)
    ]
    usage = usage_part(total([answer.usage for answer in found]))
    return JSONResponse({**head, "choices": choices, "usage": usage})


async def stream(
    head: dict[str, Any],
    body: CompletionRequest,
    system: System,
    first: Numbered,
    events: AsyncIterator[Numbered],
) -> AsyncGenerator[str, None]:
    """The answers as server-sent events."""
    usages: list[Usage] = []

    def line(number: int, event: Any) -> str:
        if isinstance(event, Delta):
            return data({**head, "choices": [choice(number, event.text, None)]})
        if isinstance(event, Final):
            usages.append(event.answer.usage)
            last = {**choice(number, "", event.answer.finish), "rag": part(event.answer, system)}
            usage = None if body.stream_options.include_usage else usage_part(event.answer.usage)
            return data({**head, "choices": [last], "usage": usage})
        return ""

    async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
        try:
            yield line(*first)
            async for number, event in open_events:
                yield line(number, event)
            if body.stream_options.include_usage:
                yield data({**head, "choices": [], "usage": usage_part(total(usages))})
            yield "data: [DONE]\n\n"
        except RagError as error:
            yield data(error_body(error.message, status=error.status, code=error.code))


def choice(number: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": number, "text": text, "finish_reason": finish, "logprobs": None}


def part(answer: Answer, system: System) -> dict[str, Any]:
    """What is ours beside OpenAI's fields."""
    found = rag_part(answer, passages=False, model_sha256=system.model_sha256, ignored=[])
    return found.model_dump(mode="json")
