"""What was used and what may be used: the verbs, and how they go over HTTP."""

from __future__ import annotations

from typing import Any, Protocol

from rag.cost.budget import OnLimit, Scope, Span, Unit
from rag.cost.usage import By
from rag.cost.wire import BudgetLine, BudgetsReply, UsageReply
from rag.sdk.steps import Awaits, Call, Runs, Steps, safe

BUDGETS = "/v1/budgets"


class Money(Protocol):
    """Sums over the ledger, and the budgets of the tenant. Moments are seconds since 1970."""

    def usage(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        by: By | str | None = None,
        mine: bool = False,
    ) -> UsageReply:
        """Tokens, machine-seconds, money, energy, carbon; of 30 days unless `since` says otherwise. Without
        the right to operate of the caller only. Raises Forbidden for sums over others."""
        ...

    def budgets(self) -> list[BudgetLine]:
        """Every budget with what is spent and left of it now. Raises Forbidden without that right."""
        ...

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
        """Set a budget in place of one for the same; all of them. Raises BadRequest, Forbidden."""
        ...

    def remove_budget(self, budget_id: str) -> list[BudgetLine]:
        """Remove a budget; those that are left. Raises NotFound, Forbidden."""
        ...

    def override_budget(self, budget_id: str, *, extra: float, until: float, reason: str) -> list[BudgetLine]:
        """Allow more until a moment, for a reason that the ledger keeps. Raises NotFound, Forbidden."""
        ...


class ClientMoney:
    """The money of a client's tenant."""

    def __init__(self, run: Runs) -> None:
        self._run = run

    def usage(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        by: By | str | None = None,
        mine: bool = False,
    ) -> UsageReply:
        """Tokens, machine-seconds, money, energy and carbon. Raises Forbidden for sums over others."""
        return self._run(used(since, until, by, mine))

    def budgets(self) -> list[BudgetLine]:
        """Every budget with what is spent and left of it now. Raises Forbidden without that right."""
        return self._run(standing())

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
        """Set a budget in place of one for the same; all of them. Raises BadRequest, Forbidden."""
        return self._run(
            placed(
                scope=scope,
                limit=limit,
                subject=subject,
                period=period,
                unit=unit,
                soft=soft,
                on_limit=on_limit,
            )
        )

    def remove_budget(self, budget_id: str) -> list[BudgetLine]:
        """Remove a budget; those that are left. Raises NotFound, Forbidden."""
        return self._run(removed(budget_id))

    def override_budget(self, budget_id: str, *, extra: float, until: float, reason: str) -> list[BudgetLine]:
        """Allow more until a moment, for a reason that the ledger keeps. Raises NotFound, Forbidden."""
        return self._run(raised(budget_id, extra=extra, until=until, reason=reason))


class AsyncMoney:
    """The money of an awaited client's tenant."""

    def __init__(self, run: Awaits) -> None:
        self._run = run

    async def usage(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        by: By | str | None = None,
        mine: bool = False,
    ) -> UsageReply:
        """Tokens, machine-seconds, money, energy and carbon. Raises Forbidden for sums over others."""
        return await self._run(used(since, until, by, mine))

    async def budgets(self) -> list[BudgetLine]:
        """Every budget with what is spent and left of it now. Raises Forbidden without that right."""
        return await self._run(standing())

    async def set_budget(
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
        """Set a budget in place of one for the same; all of them. Raises BadRequest, Forbidden."""
        return await self._run(
            placed(
                scope=scope,
                limit=limit,
                subject=subject,
                period=period,
                unit=unit,
                soft=soft,
                on_limit=on_limit,
            )
        )

    async def remove_budget(self, budget_id: str) -> list[BudgetLine]:
        """Remove a budget; those that are left. Raises NotFound, Forbidden."""
        return await self._run(removed(budget_id))

    async def override_budget(
        self, budget_id: str, *, extra: float, until: float, reason: str
    ) -> list[BudgetLine]:
        """Allow more until a moment, for a reason that the ledger keeps. Raises NotFound, Forbidden."""
        return await self._run(raised(budget_id, extra=extra, until=until, reason=reason))


def used(since: float | None, until: float | None, by: str | None, mine: bool) -> Steps[UsageReply]:
    """GET /v1/usage."""
    wishes = {"since": since, "until": until, "by": by, "mine": mine}
    params: dict[str, Any] = {name: wish for name, wish in wishes.items() if wish is not None}
    return UsageReply.model_validate((yield Call("GET", "/v1/usage", {"params": params})))


def standing() -> Steps[list[BudgetLine]]:
    """GET /v1/budgets."""
    return BudgetsReply.model_validate((yield Call("GET", BUDGETS))).budgets


def placed(**budget: Any) -> Steps[list[BudgetLine]]:
    """PUT /v1/budgets; twice is as once."""
    return BudgetsReply.model_validate((yield Call("PUT", BUDGETS, {"json": budget}))).budgets


def removed(budget_id: str) -> Steps[list[BudgetLine]]:
    """DELETE /v1/budgets/{id}."""
    call = Call("DELETE", f"{BUDGETS}/{safe(budget_id)}", repeatable=False)
    return BudgetsReply.model_validate((yield call)).budgets


def raised(budget_id: str, **more: Any) -> Steps[list[BudgetLine]]:
    """POST /v1/budgets/{id}/override: in place of an earlier one."""
    call = Call("POST", f"{BUDGETS}/{safe(budget_id)}/override", {"json": more}, repeatable=False)
    return BudgetsReply.model_validate((yield call)).budgets
