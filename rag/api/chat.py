"""OpenAI's chat endpoint over the assistant, streamed or whole, and the list of models it takes."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from rag.api.asking import Errand, lookup, seeded, several, until_gone
from rag.api.conversation import model_names, of_chat
from rag.api.reply import Reply
from rag.api.state import Asker, Running
from rag.api.streamed import EventStream
from rag.conversations.turns import past_of
from rag.errors import UnknownModel
from rag.wire import AUTO, ChatCompletion, ChatRequest, Model, Models

router = APIRouter(prefix="/v1")


@router.get("/models")
async def models(system: Running, caller: Asker) -> Models:
    """What may stand in `model`: each tier, each collection the caller may read, and both together."""
    return Models(data=[Model(id=name) for name in await names(system, caller)])


@router.get("/models/{model_id:path}")
async def model(model_id: str, system: Running, caller: Asker) -> Model:
    """One of them."""
    known = await names(system, caller)
    if model_id not in known:
        raise UnknownModel(f"no model {model_id!r}; have {', '.join(known)}")
    return Model(id=model_id)


@router.post("/chat/completions", response_model=ChatCompletion)
async def chat_completions(body: ChatRequest, request: Request, system: Running, caller: Asker) -> Response:
    """A cited answer to the last message. Errors before the first word have their own status.

    `rag` in the reply holds citations, tier, outcome, cost; streamed, it comes with the last chunk.
    """
    known = await lookup(
        system, caller, named=body.model not in (AUTO, *system.tiers) or bool(body.rag.collection)
    )
    asked = of_chat(body, known, system.tiers)
    errand = Errand.of(request, system, caller, body.rag)
    if body.rag.conversation:
        past = await past_of(system, caller, body.rag.conversation)
        asked = replace(asked, history=past.turns, before=past.tier)
    reply = Reply(body, asked, errand)
    events = several(errand, seeded(asked, body.n or 1))
    if not body.stream:
        return JSONResponse(await until_gone(request, reply.whole(events)))
    # Wait for the first event, so that a failed search is a status and not a broken stream.
    first = await until_gone(request, anext(events))
    return EventStream(reply.stream(first, events))


async def names(system: Running, caller: Asker) -> list[str]:
    """The model names of one reader."""
    return model_names(await system.collections(caller), system.tiers)
