"""The turns of a kept conversation: read before a question, added after its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rag.assembly import System
from rag.conversations.feedback import Feedback
from rag.conversations.grounds import Reading, Shown, Viewer, history, places
from rag.conversations.shelf import Conversations
from rag.conversations.wire import ConversationReply, SharedReply
from rag.errors import BadRequest, NotFound
from rag.types import Answer, Message, Principal

NEW = "new"
MOST_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Past:
    """What a question in a conversation comes after. `tier`: who gave its last answer; empty without one."""

    turns: tuple[Message, ...] = ()
    tier: str = ""


async def past_of(system: System, caller: Principal, conversation_id: str) -> Past:
    """What a question in a conversation comes after; nothing in a `new` one.

    Raises NotFound, or BadRequest for one that is full.
    """
    if conversation_id == NEW:
        return Past()
    return await asyncio.to_thread(before, system, caller, conversation_id)


async def remember(
    system: System, caller: Principal, conversation_id: str, question: str, answer: Answer
) -> tuple[str, str] | None:
    """Keep a question and its answer; the ids of conversation and answer.

    `new` makes the conversation. None: it was deleted while the answer was made.
    """
    return await asyncio.to_thread(add, system, caller, conversation_id, question, answer)


def before(system: System, caller: Principal, conversation_id: str) -> Past:
    found = shelf(system).get(plain(conversation_id), caller)
    messages = messages_of(system, caller, found.id, Viewer.OWNER)
    if len(messages) >= MOST_MESSAGES:
        raise BadRequest(f"conversation {conversation_id!r} is full; start another with 'new'")
    tier = next((each.rag.tier for each in reversed(messages) if each.rag), "")
    return Past(history(messages), tier)


def add(
    system: System, caller: Principal, conversation_id: str, question: str, answer: Answer
) -> tuple[str, str] | None:
    kept = shelf(system)
    if conversation_id == NEW:
        conversation_id = kept.create(caller).id
    said = {"question": plain(question), "answer": plain(answer.text)}
    rag = places(answer, model_sha256=system.model_sha256)
    try:
        return conversation_id, kept.append(conversation_id, caller, **said, rag=rag)
    except NotFound:
        return None


def opened(system: System, caller: Principal, conversation_id: str) -> ConversationReply:
    """All of a conversation of the caller's. Raises NotFound."""
    found = shelf(system).get(conversation_id, caller)
    messages = messages_of(system, caller, found.id, Viewer.OWNER)
    verdicts = Feedback(system.catalog.database).of(found.id)
    return ConversationReply(conversation=found, messages=messages, feedback=verdicts)


def read_along(system: System, viewer: Principal, token: str) -> SharedReply:
    """The conversation behind a link, as this viewer may see it. Raises NotFound."""
    found = shelf(system).shared(token, viewer)
    messages = messages_of(system, viewer, found.id, Viewer.OTHER)
    return SharedReply(title=found.title, messages=messages)


def messages_of(system: System, reader: Principal, conversation_id: str, viewer: Viewer) -> list[Shown]:
    """The messages of a conversation that was looked up, as this reader may see them now."""
    return Reading(shelf(system).messages(conversation_id), system.catalog, reader, viewer).all()


def shelf(system: System) -> Conversations:
    """The conversations of this home."""
    return Conversations(system.catalog.database)


def plain(text: str) -> str:
    """Without the one character that Postgres cannot store."""
    return text.replace("\0", "")
