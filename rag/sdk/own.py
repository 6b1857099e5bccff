"""Conversations and money of a home in this process, for its owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from enum import StrEnum
from math import inf
from typing import Any, TypeVar

from rag.answering.events import Event, Final
from rag.assembly import System
from rag.conversations.feedback import Feedback, Judged, Rating, Reason, Verdict
from rag.conversations.shelf import Conversation
from rag.conversations.turns import opened, past_of, plain, read_along, remember, shelf
from rag.conversations.wire import ConversationReply, SharedReply, ShareReply
from rag.cost.budget import Budget, OnLimit, Scope, Span, Unit
from rag.cost.usage import By, usage
from rag.cost.wire import BudgetLine, UsageReply
from rag.errors import BadRequest

DAY_S = 86_400.0
PAGE = 10_000
Word = TypeVar("Word", bound=StrEnum)


class OwnTalks:
    """What the owner asked and was answered, beside the conversations of everybody else."""

    def __init__(self, system: System) -> None:
        self._system, self._owner, self._shelf = system, system.principal, shelf(system)
        self._feedback = Feedback(system.catalog.database)

    def all(self, *, search: str = "") -> list[Conversation]:
        """The last used first; `search`: words of a title or a question."""
        return self._shelf.all(self._owner, search=search, limit=PAGE)

    def get(self, conversation_id: str) -> ConversationReply:
        """One with its messages and the verdicts on them. Raises NotFound."""
        return opened(self._system, self._owner, conversation_id)

    def create(self, title: str = "") -> Conversation:
        """An empty one; without a title the first question becomes it."""
        return self._shelf.get(self._shelf.create(self._owner, plain(title)).id, self._owner)

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give it another title. Raises NotFound."""
        self._shelf.rename(conversation_id, self._owner, plain(title))
        return self._shelf.get(conversation_id, self._owner)

    def rewind(self, conversation_id: str, message_id: str) -> None:
        """Take out a message and all behind it, and with an answer its question. Raises NotFound."""
        self._shelf.rewind(conversation_id, message_id, self._owner)

    def delete(self, conversation_id: str) -> None:
        """Forget it, its messages and what was thought of them. Raises NotFound."""
        self._shelf.delete(conversation_id, self._owner)

    def share(self, conversation_id: str) -> ShareReply:
        """A link to read along, for members of the tenant. Raises NotFound."""
        return ShareReply.of(self._shelf.share(conversation_id, self._owner))

    def unshare(self, conversation_id: str) -> None:
        """Take the link back. Raises NotFound."""
        self._shelf.unshare(conversation_id, self._owner)

    def shared(self, token: str) -> SharedReply:
        """The conversation behind what a link ends with, as the caller may see it. Raises NotFound."""
        return read_along(self._system, self._owner, token)

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
        thumb, why = word(Rating, rating), word(Reason, reason) if reason else None
        return self._feedback.give(
            conversation_id, message_id, self._owner, thumb, reason=why, comment=plain(comment)
        )

    def feedback(self, *, rating: Rating | str | None = None) -> list[Judged]:
        """What readers thought, newest first, for curators. Raises Forbidden for others."""
        only = word(Rating, rating) if rating else None
        return self._feedback.judged(self._system.catalog, self._owner, rating=only, limit=PAGE)

    async def ask(self, conversation_id: str, question: str, **wishes: Any) -> AsyncIterator[Event]:
        """The events of an answer that is kept before it is told, and says where. Raises NotFound."""
        system, owner = self._system, self._owner
        past = await past_of(system, owner, conversation_id)
        events = system.assistant.ask(question, owner, history=past.turns, before=past.tier, **wishes)
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Final):
                    place = await remember(system, owner, conversation_id, question, event.answer)
                    conversation, message = place or ("", "")
                    event = Final(replace(event.answer, conversation=conversation, message=message))
                yield event


class OwnMoney:
    """The books of the home."""

    def __init__(self, system: System) -> None:
        self._accountant, self._owner = system.accountant, system.principal

    def usage(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        by: By | str | None = None,
        mine: bool = False,
    ) -> UsageReply:
        """Tokens, machine-seconds, money, energy and carbon. Raises BadRequest for an unknown `by`."""
        books, tenant = self._accountant, self._owner.tenant
        begin = books.clock() - 30 * DAY_S if since is None else since
        lines = usage(
            books.database,
            since=begin,
            until=inf if until is None else until,
            by=word(By, by) if by else None,
            tenant=tenant,
            user=books.ledger.pseudonym(self._owner) if mine else None,
        )
        return UsageReply(currency=books.rates.currency, since=begin, data=list(lines))

    def budgets(self) -> list[BudgetLine]:
        """Every budget with what is spent and left of it now."""
        found = self._accountant.budgets.standing(tenant=self._owner.tenant)
        return [BudgetLine.of(each) for each in found]

    def set_budget(
        self,
        scope: Scope | str,
        limit: float,
        *,
        subject: str = "*",
        period: Span | str = Span.MONTH,
        unit: Unit | str = Unit.MONEY,
        soft: float = 0.8,
        on_limit: OnLimit | str = OnLimit.DEGRADE,
    ) -> list[BudgetLine]:
        """Set a budget in place of one for the same; all of them. Raises BadRequest."""
        if limit <= 0 or not 0 < soft <= 1:
            raise BadRequest(f"limit {limit} must be above 0, and soft {soft} above 0 and at most 1")
        wanted = word(Scope, scope), subject, word(Span, period), word(Unit, unit), limit
        budget = Budget(self._owner.tenant, *wanted, soft=soft, on_limit=word(OnLimit, on_limit), source="")
        self._accountant.set_budget(self._owner, budget)
        return self.budgets()

    def remove_budget(self, budget_id: str) -> list[BudgetLine]:
        """Remove a budget; those that are left. Raises NotFound."""
        self._accountant.remove_budget(self._owner, budget_id)
        return self.budgets()

    def override_budget(self, budget_id: str, *, extra: float, until: float, reason: str) -> list[BudgetLine]:
        """Allow more until a moment, for a reason that the ledger keeps. Raises NotFound, BadRequest."""
        self._accountant.override(self._owner, budget_id, extra=extra, until=until, reason=reason)
        return self.budgets()


def word(kind: type[Word], text: str) -> Word:
    """The member of that name. Raises BadRequest that names those there are."""
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(kind)
        raise BadRequest(f"{text[:100]!r} is none of {known}") from None
