"""The JSON of conversations and feedback on the network, shared by API and SDK."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from rag.conversations.feedback import Judged, Verdict
from rag.conversations.grounds import Shown
from rag.conversations.shelf import Conversation


class ConversationsReply(BaseModel):
    """Conversations, the last used first; `next`: what to send as `after` for those behind them."""

    object: Literal["list"] = "list"
    conversations: list[Conversation]
    next: str | None = None


class ConversationReply(BaseModel):
    """A conversation with its messages, and the verdicts on them by message."""

    object: Literal["conversation"] = "conversation"
    conversation: Conversation
    messages: list[Shown]
    feedback: dict[str, Verdict]


class ShareReply(BaseModel):
    """Where members of the tenant read along: a path of the page, and one of this API."""

    object: Literal["share"] = "share"
    page: str
    path: str

    @classmethod
    def of(cls, token: str) -> ShareReply:
        """The link that ends with a token."""
        return cls(page=f"/#shared={token}", path=f"/v1/shared/{token}")


class SharedReply(BaseModel):
    """A conversation as whoever holds its link may see it now."""

    object: Literal["shared"] = "shared"
    title: str
    messages: list[Shown]


class FeedbackReply(BaseModel):
    """Verdicts, newest first, with what they are about; `next`: what to send as `after` for those behind
    them, if there are."""

    object: Literal["list"] = "list"
    feedback: list[Judged]
    next: str | None = None
