"""What was used, and what may be used: sums over the ledger, and budgets with their balances."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from rag.api.keys import Ours
from rag.api.state import Asker, Operator, Running
from rag.cost.budget import Budget, OnLimit, Scope, Span, Unit
from rag.cost.usage import By, usage
from rag.cost.wire import BudgetLine, BudgetsReply, UsageReply
from rag.errors import Forbidden
from rag.types import Principal, Right

router = APIRouter(prefix="/v1")
DAY_S = 86_400.0
FAR = 253_402_300_800.0  # the year 10,000
Id = Annotated[str, Path(max_length=400)]


class BudgetRequest(BaseModel):
    """The most that a subject may use in a day or month; `*`: each one of the scope has this much."""

    model_config = ConfigDict(extra="forbid")

    scope: Scope
    subject: str = Field("*", min_length=1, max_length=200)
    period: Span = Span.MONTH
    unit: Unit = Unit.MONEY
    limit: float = Field(gt=0, le=1e9, strict=True)
    soft: float = Field(0.8, gt=0, le=1, strict=True)
    on_limit: OnLimit = OnLimit.DEGRADE


class OverrideRequest(BaseModel):
    """More until a moment (seconds since 1970), for a reason that the ledger keeps."""

    model_config = ConfigDict(extra="forbid")

    extra: float = Field(gt=0, le=1e9, strict=True)
    until: float = Field(gt=0, le=FAR, strict=True)
    reason: str = Field(min_length=1, max_length=1000)


@router.get("/usage")
async def read_usage(
    system: Running,
    caller: Asker,
    since: Annotated[float | None, Query(ge=0, le=FAR, description="default: 30 days ago")] = None,
    until: Annotated[float, Query(ge=0, le=FAR)] = FAR,
    by: By | None = None,
    mine: bool = False,
) -> UsageReply:
    """Tokens, machine-seconds, money, energy and carbon. Without the right to operate: of the caller only."""
    accountant = system.accountant
    since = accountant.clock() - 30 * DAY_S if since is None else since
    user = accountant.ledger.pseudonym(caller) if mine or not caller.may(Right.OPERATE) else None
    if by in (By.TENANT, By.USER, By.KEY) and not caller.may(Right.OPERATE):
        raise Forbidden(f"sums by {by} need the right 'operate'; leave `by` out, or add up by day or tier")
    lines = await asyncio.to_thread(
        usage, accountant.database, since=since, until=until, by=by, tenant=caller.tenant, user=user
    )
    return UsageReply(currency=accountant.rates.currency, since=since, data=list(lines))


@router.get("/budgets")
async def read_budgets(system: Running, caller: Operator) -> BudgetsReply:
    """The budgets of the caller's tenant, and what is left of them now."""
    found = await asyncio.to_thread(system.accountant.budgets.standing, tenant=caller.tenant)
    return BudgetsReply(budgets=[BudgetLine.of(each) for each in found])


@router.put("/budgets")
async def set_budget(
    body: BudgetRequest, request: Request, system: Running, accounts: Ours, caller: Operator
) -> BudgetsReply:
    """Set a budget of the caller's tenant; one for the same subject, period and unit is replaced."""
    budget = Budget(caller.tenant, source="", **body.model_dump())
    await asyncio.to_thread(system.accountant.set_budget, caller, budget)
    await told(accounts, "budget.set", caller, budget.id, request)
    return await read_budgets(system, caller)


@router.delete("/budgets/{budget_id}")
async def remove_budget(
    budget_id: Id, request: Request, system: Running, accounts: Ours, caller: Operator
) -> BudgetsReply:
    """Remove a budget. One that rag.toml declares is there again after a restart."""
    await asyncio.to_thread(system.accountant.remove_budget, caller, budget_id)
    await told(accounts, "budget.remove", caller, budget_id, request)
    return await read_budgets(system, caller)


@router.post("/budgets/{budget_id}/override")
async def override_budget(
    budget_id: Id,
    body: OverrideRequest,
    request: Request,
    system: Running,
    accounts: Ours,
    caller: Operator,
) -> BudgetsReply:
    """Allow more until a moment. It goes round no policy of what may leave, and no quality gate."""
    more = body.model_dump()
    await asyncio.to_thread(lambda: system.accountant.override(caller, budget_id, **more))
    await told(accounts, "budget.override", caller, budget_id, request)
    return await read_budgets(system, caller)


async def told(accounts: Ours, action: str, caller: Principal, budget_id: str, request: Request) -> None:
    """Put a change into the audit log."""
    await asyncio.to_thread(
        accounts.audit.record, action, caller, object=budget_id, request_id=request.state.request_id
    )
