"""The JSON of usage and budgets on the network, shared by API and SDK."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from rag.cost.budget import Account, Budget
from rag.cost.usage import UsageLine


class UsageReply(BaseModel):
    """Sums over requests and ingestion. Money as booked: the machine time they took, in `currency`."""

    object: Literal["list"] = "list"
    currency: str
    since: float
    data: list[UsageLine]


class BudgetLine(BaseModel):
    """A budget with one of its balances in the running period; `left` is neither spent nor reserved."""

    id: str
    budget: Budget
    subject: str
    start: str
    spent: float
    reserved: float
    left: float

    @classmethod
    def of(cls, balance: Account) -> BudgetLine:
        """A balance as it is shown."""
        return cls(
            id=balance.budget.id,
            budget=balance.budget,
            subject=balance.subject,
            start=balance.start,
            spent=balance.spent,
            reserved=balance.reserved,
            left=balance.left,
        )


class BudgetsReply(BaseModel):
    """Budgets of the caller's tenant; one of `*` has a line for each subject that drew on it."""

    object: Literal["list"] = "list"
    budgets: list[BudgetLine]
