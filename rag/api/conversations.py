"""Conversations over HTTP: kept for their owners, shared read-only, and judged."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from rag.api.state import Asker, Curator, Running
from rag.conversations.feedback import Feedback, Rating, Reason, Verdict
from rag.conversations.shelf import Conversation
from rag.conversations.turns import opened, plain, read_along, shelf
from rag.conversations.wire import (
    ConversationReply,
    ConversationsReply,
    FeedbackReply,
    SharedReply,
    ShareReply,
)
from rag.errors import BadRequest

router = APIRouter(prefix="/v1")
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


class Incoming(BaseModel):
    """A request body; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class NewConversation(Incoming):
    """POST /v1/conversations. Without a title the first question becomes it."""

    title: str = Field("", max_length=1000)


class NewTitle(Incoming):
    """PATCH /v1/conversations/{id}."""

    title: str = Field(min_length=1, max_length=1000)


class NewVerdict(Incoming):
    """What a reader thinks of an answer. Curators see it with the question and the answer."""

    rating: Rating
    reason: Reason | None = None
    comment: str = Field("", max_length=2000)


@router.get("/conversations")
async def conversations(
    system: Running,
    caller: Asker,
    search: Annotated[str, Query(max_length=200, description="words of a title or a question")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: str | None = None,
) -> ConversationsReply:
    """The caller's own, the last used first. `after`: the `next` of the page before."""
    found = await asyncio.to_thread(
        shelf(system).all,
        caller,
        search=search,
        after=place(after) if after else None,
        limit=limit + 1,
    )
    page = found[:limit]
    more = len(found) > limit
    return ConversationsReply(
        conversations=page, next=bookmark(page[-1].updated_at, page[-1].id) if more else None
    )


@router.post("/conversations", status_code=201)
async def create(body: NewConversation, system: Running, caller: Asker) -> Conversation:
    """An empty conversation; `rag.conversation` of a chat request puts questions into it."""
    return await asyncio.to_thread(shelf(system).create, caller, plain(body.title))


@router.get("/conversations/{conversation_id}")
async def conversation(conversation_id: Id, system: Running, caller: Asker) -> ConversationReply:
    """All of one, its citations read again: an answer whose sources are gone comes without its words."""
    return await asyncio.to_thread(opened, system, caller, conversation_id)


@router.patch("/conversations/{conversation_id}")
async def rename(conversation_id: Id, body: NewTitle, system: Running, caller: Asker) -> Conversation:
    """Give one another title."""
    await asyncio.to_thread(shelf(system).rename, conversation_id, caller, plain(body.title))
    return await asyncio.to_thread(shelf(system).get, conversation_id, caller)


@router.delete("/conversations/{conversation_id}", status_code=204, response_class=Response)
async def delete(conversation_id: Id, system: Running, caller: Asker) -> None:
    """Forget one, its messages and what was thought of them."""
    await asyncio.to_thread(shelf(system).delete, conversation_id, caller)


@router.delete(
    "/conversations/{conversation_id}/messages/{message_id}", status_code=204, response_class=Response
)
async def rewind(conversation_id: Id, message_id: Id, system: Running, caller: Asker) -> None:
    """Take out a message and all behind it, and with an answer its question: to ask again or otherwise."""
    await asyncio.to_thread(shelf(system).rewind, conversation_id, message_id, caller)


@router.post("/conversations/{conversation_id}/messages/{message_id}/feedback")
async def judge(
    conversation_id: Id, message_id: Id, body: NewVerdict, system: Running, caller: Asker
) -> Verdict:
    """Say what an answer was worth; a second verdict takes the place of the first."""
    return await asyncio.to_thread(
        Feedback(system.catalog.database).give,
        conversation_id,
        message_id,
        caller,
        body.rating,
        reason=body.reason,
        comment=plain(body.comment),
    )


@router.post("/conversations/{conversation_id}/share")
async def share(conversation_id: Id, system: Running, caller: Asker) -> ShareReply:
    """A link to read along, for members of the tenant; each sees what he may read himself."""
    token = await asyncio.to_thread(shelf(system).share, conversation_id, caller)
    return ShareReply.of(token)


@router.delete("/conversations/{conversation_id}/share", status_code=204, response_class=Response)
async def unshare(conversation_id: Id, system: Running, caller: Asker) -> None:
    """Take the link back."""
    await asyncio.to_thread(shelf(system).unshare, conversation_id, caller)


@router.get("/shared/{token}")
async def shared(token: Id, system: Running, caller: Asker) -> SharedReply:
    """The conversation behind a link, with the answers whose sources this reader may read as they are."""
    return await asyncio.to_thread(read_along, system, caller, token)


@router.get("/feedback")
async def feedback(
    system: Running,
    caller: Curator,
    rating: Rating | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: str | None = None,
) -> FeedbackReply:
    """What readers thought, newest first, not who. Answers from documents closed to the caller are out.

    `after`: the `next` of the page before.
    """
    found = await asyncio.to_thread(
        Feedback(system.catalog.database).judged,
        system.catalog,
        caller,
        rating=rating,
        after=place(after) if after else None,
        limit=limit + 1,
    )
    page, more = found[:limit], len(found) > limit
    last = page[-1].verdict if page else None
    return FeedbackReply(
        feedback=page, next=bookmark(last.created_at, last.message) if last and more else None
    )


def bookmark(at: float, key: str) -> str:
    return f"{at!r}:{key}"


def place(after: str) -> tuple[float, str]:
    """What a bookmark says. Raises BadRequest."""
    at, _, key = after.partition(":")
    try:
        return float(at), plain(key)
    except ValueError:
        raise BadRequest(f"after is {after[:100]!r}; send the `next` of the page before") from None
