"""Kept conversations, and what their readers think of the answers: the verbs, and how they go over HTTP."""

from __future__ import annotations

from typing import Protocol

from pydantic import TypeAdapter

from rag.conversations.feedback import Judged, Rating, Reason, Verdict
from rag.conversations.shelf import Conversation
from rag.conversations.wire import (
    ConversationReply,
    ConversationsReply,
    FeedbackReply,
    SharedReply,
    ShareReply,
)
from rag.sdk.steps import Awaits, Call, Runs, Steps, pages, safe

ROOT = "/v1/conversations"
CONVERSATION, VERDICT = TypeAdapter(Conversation), TypeAdapter(Verdict)


class Talks(Protocol):
    """The conversations of whoever asks; `ask(..., conversation=)` puts questions into them."""

    def all(self, *, search: str = "") -> list[Conversation]:
        """The last used first; `search`: words of a title or a question."""
        ...

    def get(self, conversation_id: str) -> ConversationReply:
        """One with its messages and the verdicts on them. Raises NotFound."""
        ...

    def create(self, title: str = "") -> Conversation:
        """An empty one; without a title the first question becomes it."""
        ...

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give it another title. Raises NotFound."""
        ...

    def rewind(self, conversation_id: str, message_id: str) -> None:
        """Take out a message and all behind it, and with an answer its question. Raises NotFound."""
        ...

    def delete(self, conversation_id: str) -> None:
        """Forget it, its messages and what was thought of them. Raises NotFound."""
        ...

    def share(self, conversation_id: str) -> ShareReply:
        """A link to read along, for members of the tenant. Raises NotFound."""
        ...

    def unshare(self, conversation_id: str) -> None:
        """Take the link back. Raises NotFound."""
        ...

    def shared(self, token: str) -> SharedReply:
        """The conversation behind what a link ends with, as the caller may see it. Raises NotFound."""
        ...

    def give_feedback(
        self,
        conversation_id: str,
        message_id: str,
        rating: Rating | str,
        *,
        reason: Reason | str | None = None,
        comment: str = "",
    ) -> Verdict:
        """Say what an answer was worth, in place of what was said before. Raises NotFound, BadRequest."""
        ...

    def feedback(self, *, rating: Rating | str | None = None) -> list[Judged]:
        """What readers thought, newest first, for curators. Raises Forbidden for others."""
        ...


class ClientTalks:
    """The conversations of a client."""

    def __init__(self, run: Runs) -> None:
        self._run = run

    def all(self, *, search: str = "") -> list[Conversation]:
        """The last used first; `search`: words of a title or a question."""
        return self._run(every(search))

    def get(self, conversation_id: str) -> ConversationReply:
        """One with its messages and the verdicts on them. Raises NotFound."""
        return self._run(one(conversation_id))

    def create(self, title: str = "") -> Conversation:
        """An empty one; without a title the first question becomes it."""
        return self._run(created(title))

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give it another title. Raises NotFound."""
        return self._run(renamed(conversation_id, title))

    def rewind(self, conversation_id: str, message_id: str) -> None:
        """Take out a message and all behind it, and with an answer its question. Raises NotFound."""
        self._run(gone(conversation_id, "messages", message_id))

    def delete(self, conversation_id: str) -> None:
        """Forget it, its messages and what was thought of them. Raises NotFound."""
        self._run(gone(conversation_id))

    def share(self, conversation_id: str) -> ShareReply:
        """A link to read along, for members of the tenant. Raises NotFound."""
        return self._run(link(conversation_id))

    def unshare(self, conversation_id: str) -> None:
        """Take the link back. Raises NotFound."""
        self._run(gone(conversation_id, "share"))

    def shared(self, token: str) -> SharedReply:
        """The conversation behind what a link ends with, as the caller may see it. Raises NotFound."""
        return self._run(behind(token))

    def give_feedback(
        self,
        conversation_id: str,
        message_id: str,
        rating: Rating | str,
        *,
        reason: Reason | str | None = None,
        comment: str = "",
    ) -> Verdict:
        """Say what an answer was worth, in place of what was said before. Raises NotFound, BadRequest."""
        return self._run(judged(conversation_id, message_id, rating, reason, comment))

    def feedback(self, *, rating: Rating | str | None = None) -> list[Judged]:
        """What readers thought, newest first, for curators. Raises Forbidden for others."""
        return self._run(verdicts(rating))


class AsyncTalks:
    """The conversations of an awaited client."""

    def __init__(self, run: Awaits) -> None:
        self._run = run

    async def all(self, *, search: str = "") -> list[Conversation]:
        """The last used first; `search`: words of a title or a question."""
        return await self._run(every(search))

    async def get(self, conversation_id: str) -> ConversationReply:
        """One with its messages and the verdicts on them. Raises NotFound."""
        return await self._run(one(conversation_id))

    async def create(self, title: str = "") -> Conversation:
        """An empty one; without a title the first question becomes it."""
        return await self._run(created(title))

    async def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give it another title. Raises NotFound."""
        return await self._run(renamed(conversation_id, title))

    async def rewind(self, conversation_id: str, message_id: str) -> None:
        """Take out a message and all behind it, and with an answer its question. Raises NotFound."""
        await self._run(gone(conversation_id, "messages", message_id))

    async def delete(self, conversation_id: str) -> None:
        """Forget it, its messages and what was thought of them. Raises NotFound."""
        await self._run(gone(conversation_id))

    async def share(self, conversation_id: str) -> ShareReply:
        """A link to read along, for members of the tenant. Raises NotFound."""
        return await self._run(link(conversation_id))

    async def unshare(self, conversation_id: str) -> None:
        """Take the link back. Raises NotFound."""
        await self._run(gone(conversation_id, "share"))

    async def shared(self, token: str) -> SharedReply:
        """The conversation behind what a link ends with, as the caller may see it. Raises NotFound."""
        return await self._run(behind(token))

    async def give_feedback(
        self,
        conversation_id: str,
        message_id: str,
        rating: Rating | str,
        *,
        reason: Reason | str | None = None,
        comment: str = "",
    ) -> Verdict:
        """Say what an answer was worth, in place of what was said before. Raises NotFound, BadRequest."""
        return await self._run(judged(conversation_id, message_id, rating, reason, comment))

    async def feedback(self, *, rating: Rating | str | None = None) -> list[Judged]:
        """What readers thought, newest first, for curators. Raises Forbidden for others."""
        return await self._run(verdicts(rating))


def every(search: str) -> Steps[list[Conversation]]:
    """GET /v1/conversations, page after page."""
    found = yield from pages(ROOT, ConversationsReply, {"search": search, "limit": 200})
    return [each for page in found for each in page.conversations]


def one(conversation_id: str) -> Steps[ConversationReply]:
    """GET /v1/conversations/{id}."""
    return ConversationReply.model_validate((yield Call("GET", f"{ROOT}/{safe(conversation_id)}")))


def created(title: str) -> Steps[Conversation]:
    """POST /v1/conversations."""
    call = Call("POST", ROOT, {"json": {"title": title}}, repeatable=False)
    return CONVERSATION.validate_python((yield call))


def renamed(conversation_id: str, title: str) -> Steps[Conversation]:
    """PATCH /v1/conversations/{id}."""
    call = Call("PATCH", f"{ROOT}/{safe(conversation_id)}", {"json": {"title": title}})
    return CONVERSATION.validate_python((yield call))


def gone(conversation_id: str, *below: str) -> Steps[None]:
    """DELETE /v1/conversations/{id}, or what is below it."""
    path = "/".join((ROOT, safe(conversation_id), *map(safe, below)))
    yield Call("DELETE", path, repeatable=False)


def link(conversation_id: str) -> Steps[ShareReply]:
    """POST /v1/conversations/{id}/share: the same link until it is taken back."""
    return ShareReply.model_validate((yield Call("POST", f"{ROOT}/{safe(conversation_id)}/share")))


def behind(token: str) -> Steps[SharedReply]:
    """GET /v1/shared/{token}."""
    return SharedReply.model_validate((yield Call("GET", f"/v1/shared/{safe(token)}")))


def judged(
    conversation_id: str, message_id: str, rating: str, reason: str | None, comment: str
) -> Steps[Verdict]:
    """POST /v1/conversations/{id}/messages/{id}/feedback; twice is as once."""
    path = f"{ROOT}/{safe(conversation_id)}/messages/{safe(message_id)}/feedback"
    body = {"rating": rating, "reason": reason, "comment": comment}
    return VERDICT.validate_python((yield Call("POST", path, {"json": body})))


def verdicts(rating: str | None) -> Steps[list[Judged]]:
    """GET /v1/feedback, page after page."""
    params = {"limit": 200, **({"rating": rating} if rating else {})}
    found = yield from pages("/v1/feedback", FeedbackReply, params)
    return [each for page in found for each in page.feedback]
