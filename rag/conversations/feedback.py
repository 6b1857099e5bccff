"""What readers thought of answers, for curators, and as questions for golden sets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select

from rag.conversations.grounds import Reading, Shown, Viewer
from rag.conversations.shelf import kept_of, mine
from rag.conversations.tables import conversations, feedback, messages
from rag.errors import BadRequest, NotFound
from rag.store.catalog import Catalog
from rag.store.database import Database
from rag.types import Citation, Principal

PAGE = 200


class Rating(StrEnum):
    """A thumb."""

    UP = "up"
    DOWN = "down"


class Reason(StrEnum):
    """Why, in a word."""

    WRONG = "wrong"
    INCOMPLETE = "incomplete"
    WRONG_SOURCE = "wrong_source"
    OUTDATED = "outdated"
    UNCLEAR = "unclear"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader thought of one answer."""

    message: str
    rating: Rating
    reason: Reason | None
    comment: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict with what was asked and answered, as far as who looks may read it. Not who asked."""

    verdict: Verdict
    question: str
    answer: Shown


@dataclass(frozen=True, slots=True)
class Liked:
    """A question whose answer somebody found good, with the words that it rests on."""

    message: str
    question: str
    answer: str
    citations: tuple[Citation, ...]


class Feedback:
    """Verdicts of readers on their own answers. They go when their conversation goes."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def give(
        self,
        conversation_id: str,
        message_id: str,
        owner: Principal,
        rating: Rating,
        *,
        reason: Reason | None = None,
        comment: str = "",
    ) -> Verdict:
        """Note a verdict in place of the one before. Raises NotFound; BadRequest for a question."""
        verdict = Verdict(message_id, rating, reason, comment.strip(), self._clock())
        with self._database.writing() as connection:
            query = select(messages.c.role).join(conversations).where(messages.c.id == message_id)
            query = query.where(conversations.c.id == conversation_id, *mine(owner))
            role = connection.execute(query).scalar()
            if role is None:
                raise NotFound(f"no message {message_id!r} in conversation {conversation_id!r}")
            if role != "assistant":
                raise BadRequest(f"message {message_id!r} is a question; feedback is given on answers")
            connection.execute(delete(feedback).where(feedback.c.message == message_id))
            row = {"message": message_id, "tenant": owner.tenant, "rating": rating, "reason": reason or ""}
            said = {"comment": verdict.comment, "created_at": verdict.created_at}
            connection.execute(insert(feedback).values(**row, **said))
        return verdict

    def of(self, conversation_id: str) -> dict[str, Verdict]:
        """The verdicts on the messages of one conversation, by message."""
        query = select(feedback).join(messages).where(messages.c.conversation == conversation_id)
        with self._database.reading() as connection:
            return {row.message: verdict_of(row, row.created_at) for row in connection.execute(query)}

    def judged(
        self,
        catalog: Catalog,
        curator: Principal,
        *,
        rating: Rating | None = None,
        after: tuple[float, str] | None = None,
        limit: int = PAGE,
    ) -> list[Judged]:
        """The newest verdicts of a tenant, those left out whose sources the curator may not read.

        `after`: (created_at, message) of the last one of the page before.
        """
        return list(islice(self._readable(catalog, curator, rating, after), limit))

    def _readable(
        self, catalog: Catalog, curator: Principal, rating: Rating | None, after: tuple[float, str] | None
    ) -> Iterator[Judged]:
        while rows := self._rows(curator.tenant, rating, after):
            answers = Reading([kept_of(row) for row in rows], catalog, curator, Viewer.OTHER).all()
            for row, answer in zip(rows, answers, strict=True):
                if not answer.withheld:
                    yield Judged(verdict_of(row, row.judged_at), row.question, answer)
            after = rows[-1].judged_at, rows[-1].message

    def _rows(
        self, tenant: str, rating: Rating | None, after: tuple[float, str] | None
    ) -> Sequence[Row[Any]]:
        """The newest answers with their verdicts behind a place, and the question before each."""
        asked = messages.alias("asked")
        same = (asked.c.conversation == messages.c.conversation, asked.c.place == messages.c.place - 1)
        verdict = (feedback.c.message, feedback.c.rating, feedback.c.reason, feedback.c.comment)
        labelled = (feedback.c.created_at.label("judged_at"), asked.c.text.label("question"))
        query = select(messages, *verdict, *labelled)
        query = query.join(feedback, feedback.c.message == messages.c.id)
        query = query.join(asked, same[0] & same[1]).where(feedback.c.tenant == tenant)
        if rating is not None:
            query = query.where(feedback.c.rating == rating)
        if after is not None:
            at, message = after
            same_moment = (feedback.c.created_at == at) & (feedback.c.message > message)
            query = query.where(or_(feedback.c.created_at < at, same_moment))
        query = query.order_by(feedback.c.created_at.desc(), feedback.c.message)
        with self._database.reading() as connection:
            return connection.execute(query.limit(PAGE)).all()


def liked(catalog: Catalog, principal: Principal) -> list[Liked]:
    """The answers with a thumb up whose sources all stand as they were cited, newest first."""
    good = Feedback(catalog.database).judged(catalog, principal, rating=Rating.UP)
    return [
        Liked(each.verdict.message, each.question, each.answer.text, tuple(each.answer.rag.citations))
        for each in good
        if each.answer.rag and each.answer.rag.citations
    ]


def verdict_of(row: Row[Any], at: float) -> Verdict:
    reason = Reason(row.reason) if row.reason else None
    return Verdict(row.message, Rating(row.rating), reason, row.comment, at)
