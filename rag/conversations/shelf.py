"""The conversations of each owner: their questions and answers, found again, shared, really deleted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from rag.conversations.tables import conversations, messages
from rag.errors import NotFound
from rag.store.database import Database
from rag.types import Principal, Role

TITLE_CHARACTERS = 60
UNTITLED = "New conversation"
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation as a list shows it. `share`: what its link ends with, empty unless it is shared."""

    id: str
    title: str
    share: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Kept:
    """One message as it is stored; `rag` of an answer names places in documents, and no word of them."""

    id: str
    conversation: str
    role: Role
    text: str
    rag: Mapping[str, Any] | None
    created_at: float


class Conversations:
    """What readers asked and were answered. Every method is one short transaction; safe from many threads.

    An id of another owner is as unknown as one that never was: both raise NotFound.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def create(self, owner: Principal, title: str = "") -> Conversation:
        """An empty conversation; without a title the first question gives it one."""
        now = self._clock()
        made = Conversation(f"conv-{secrets.token_hex(12)}", shortened(title), "", now, now)
        place = {"tenant": owner.tenant, "owner": owner_of(owner)}
        stored = {"title": made.title, "created_at": now, "updated_at": now}
        with self._database.writing() as connection:
            connection.execute(insert(conversations).values(id=made.id, **place, **stored))
        return made

    def all(
        self,
        owner: Principal,
        *,
        search: str = "",
        after: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> list[Conversation]:
        """The last used first. `search`: words in a title or a question; `after`: (updated_at, id) of the
        last one of the page before."""
        table = conversations
        query = select(table).where(*mine(owner)).order_by(table.c.updated_at.desc(), table.c.id.desc())
        if after is not None:
            at, key = after
            older = (table.c.updated_at == at) & (table.c.id < key)
            query = query.where(or_(table.c.updated_at < at, older))
        with self._database.reading() as connection:
            if not search.strip():
                return [conversation_of(row) for row in connection.execute(query.limit(limit))]
            # Not compared in SQL: SQLite folds the case of ASCII only.
            words = search.strip().casefold()
            asked = asking(connection, owner, words)
            rows = connection.execute(query).all()
            found = (row for row in rows if row.id in asked or words in row.title.casefold())
            return [conversation_of(row) for row in islice(found, limit)]

    def get(self, conversation_id: str, owner: Principal) -> Conversation:
        """One conversation. Raises NotFound."""
        with self._database.reading() as connection:
            return conversation_of(one(connection, conversation_id, *mine(owner)))

    def messages(self, conversation_id: str) -> list[Kept]:
        """Its messages in order. Whoever asks has looked it up with `get` or `shared`."""
        query = select(messages).where(messages.c.conversation == conversation_id).order_by(messages.c.place)
        with self._database.reading() as connection:
            return [kept_of(row) for row in connection.execute(query)]

    def append(
        self, conversation_id: str, owner: Principal, *, question: str, answer: str, rag: Mapping[str, Any]
    ) -> str:
        """Put a question and its answer behind the others; the id of the answer. Raises NotFound."""
        now = self._clock()
        asked, answered = (f"msg-{secrets.token_hex(12)}" for _ in range(2))
        with self._database.writing() as connection:
            found = one(connection, conversation_id, *mine(owner))
            highest = select(func.max(messages.c.place)).where(messages.c.conversation == conversation_id)
            last = connection.execute(highest).scalar()
            place = 0 if last is None else last + 1
            shared = {"conversation": conversation_id, "created_at": now}
            turn = (asked, place, "user", question, None), (answered, place + 1, "assistant", answer, rag)
            names = ("id", "place", "role", "text", "rag")
            rows = [{**dict(zip(names, each, strict=True)), **shared} for each in turn]
            connection.execute(insert(messages), rows)
            changed = {"updated_at": now, "title": found.title or shortened(question) or UNTITLED}
            change(connection, conversation_id, **changed)
        return answered

    def rewind(self, conversation_id: str, message_id: str, owner: Principal) -> None:
        """Take out a message and all behind it, and with an answer its question. Raises NotFound."""
        with self._database.writing() as connection:
            one(connection, conversation_id, *mine(owner))
            here = messages.c.conversation == conversation_id
            row = connection.execute(select(messages).where(here, messages.c.id == message_id)).first()
            if row is None:
                raise NotFound(f"no message {message_id!r} in conversation {conversation_id!r}")
            first = row.place - (row.role == "assistant")
            connection.execute(delete(messages).where(here, messages.c.place >= first))

    def rename(self, conversation_id: str, owner: Principal, title: str) -> None:
        """Give it another title. Raises NotFound."""
        self._change(conversation_id, owner, title=shortened(title) or UNTITLED)

    def delete(self, conversation_id: str, owner: Principal) -> None:
        """Forget it with its messages and what was thought of them; nothing is kept. Raises NotFound."""
        with self._database.writing() as connection:
            one(connection, conversation_id, *mine(owner))
            connection.execute(delete(conversations).where(conversations.c.id == conversation_id))

    def share(self, conversation_id: str, owner: Principal) -> str:
        """What its read-only link ends with, the same until it is taken back. Raises NotFound."""
        with self._database.writing() as connection:
            found = one(connection, conversation_id, *mine(owner))
            token = str(found.share or secrets.token_urlsafe(32))
            change(connection, conversation_id, share=token)
        return token

    def unshare(self, conversation_id: str, owner: Principal) -> None:
        """Take the link back; it leads nowhere from now on. Raises NotFound."""
        self._change(conversation_id, owner, share=None)

    def shared(self, token: str, viewer: Principal) -> Conversation:
        """The conversation behind a link, for members of its tenant only. Raises NotFound."""
        same = (conversations.c.share == token, conversations.c.tenant == viewer.tenant)
        with self._database.reading() as connection:
            row = connection.execute(select(conversations).where(*same)).first()
        if row is None:
            raise NotFound("no conversation is shared under this link; its owner may have taken it back")
        return conversation_of(row)

    def forget_older(self, days: int) -> int:
        """Delete what nobody has asked in for so many days; how many those were."""
        before = conversations.c.updated_at < self._clock() - days * DAY_S
        with self._database.writing() as connection:
            return connection.execute(delete(conversations).where(before)).rowcount

    def _change(self, conversation_id: str, owner: Principal, **values: Any) -> None:
        with self._database.writing() as connection:
            one(connection, conversation_id, *mine(owner))
            change(connection, conversation_id, **values)


def owner_of(principal: Principal) -> str:
    """Whose conversations these are: the user's, else the key's, else those of the owner of the home."""
    if principal.user:
        return f"user:{principal.user}"
    return f"key:{principal.key}" if principal.key else "owner"


def mine(owner: Principal) -> tuple[ColumnElement[bool], ...]:
    """What a row must be to belong to this owner."""
    return conversations.c.tenant == owner.tenant, conversations.c.owner == owner_of(owner)


def one(connection: Connection, conversation_id: str, *conditions: ColumnElement[bool]) -> Row[Any]:
    query = select(conversations).where(conversations.c.id == conversation_id, *conditions)
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"no conversation {conversation_id!r}")
    return row


def change(connection: Connection, conversation_id: str, **values: Any) -> None:
    connection.execute(update(conversations).where(conversations.c.id == conversation_id).values(**values))


def asking(connection: Connection, owner: Principal, words: str) -> set[str]:
    """Ids of the conversations of an owner in which a question has these words."""
    query = select(messages.c.conversation, messages.c.text).join(conversations)
    rows = connection.execute(query.where(*mine(owner), messages.c.role == "user"))
    return {row.conversation for row in rows if words in row.text.casefold()}


def shortened(text: str) -> str:
    """A text on one line, cut behind a whole word where it is too long for a title."""
    line = " ".join(text.split())
    if len(line) <= TITLE_CHARACTERS:
        return line
    head, space, _ = line[:TITLE_CHARACTERS].rpartition(" ")
    return (head if space else line[: TITLE_CHARACTERS - 1]) + "…"


def conversation_of(row: Row[Any]) -> Conversation:
    return Conversation(row.id, row.title or UNTITLED, row.share or "", row.created_at, row.updated_at)


def kept_of(row: Row[Any]) -> Kept:
    return Kept(row.id, row.conversation, row.role, row.text, row.rag, row.created_at)
