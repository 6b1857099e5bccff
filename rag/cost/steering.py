"""Who may set, remove and override budgets; the ledger has a row of each time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from rag.cost.budget import LEAST, MOST, Budget, Scope
from rag.cost.budgets import Budgets
from rag.cost.ledger import Entry, Kind, Ledger
from rag.errors import BadRequest, Forbidden, NotFound
from rag.types import Principal, Right

FAR = 253_402_300_800.0  # the year 10,000


class Steering:
    """Changes of budgets by people."""

    def __init__(self, budgets: Budgets, ledger: Ledger) -> None:
        self._budgets, self._ledger = budgets, ledger

    def set_budget(self, principal: Principal, budget: Budget) -> None:
        """Set a budget, which the ledger records. Raises Forbidden without the right to operate, BadRequest
        for a limit that is no amount."""
        self._may(principal, budget)
        if not LEAST <= budget.limit <= MOST:
            raise BadRequest(f"a budget of {budget.limit:g} is none; give {LEAST:g} to {MOST:g}")
        with self._ledger.database.writing() as connection:
            self._budgets.set(connection, replace(budget, source=principal.user or principal.key or "owner"))
            self._record(connection, principal, {"set": self._named(budget), "limit": budget.limit})

    def remove_budget(self, principal: Principal, budget_id: str) -> None:
        """Remove a budget, which the ledger records. Raises Forbidden, NotFound."""
        with self._ledger.database.writing() as connection:
            budget = self._budgets.find(connection, budget_id)
            self._may(principal, budget)
            self._budgets.remove(connection, budget_id)
            self._record(connection, principal, {"removed": self._named(budget)})

    def override(
        self, principal: Principal, budget_id: str, *, extra: float, until: float, reason: str
    ) -> None:
        """Allow more until a moment, for a reason; the ledger has all of it. Raises Forbidden, NotFound,
        BadRequest without a reason or an end in the future."""
        comes = self._ledger.clock() < until < FAR
        if not reason.strip() or not comes or not 0 < extra <= MOST:
            raise BadRequest(
                f"an override needs a reason, more than 0 and at most {MOST:g}, and an end still to come"
            )
        with self._ledger.database.writing() as connection:
            budget = self._budgets.find(connection, budget_id)
            self._may(principal, budget)
            self._budgets.override(connection, budget_id, extra=extra, until=until)
            told = {"overrode": self._named(budget), "extra": extra, "until": until, "reason": reason}
            self._record(connection, principal, told)

    def _may(self, principal: Principal, budget: Budget) -> None:
        """Raises Forbidden, and NotFound for a budget of another tenant, which nobody may know of."""
        is_owner = not principal.user and not principal.key
        if not is_owner and principal.tenant != budget.tenant:
            raise NotFound(f"no budget {budget.id!r}")
        if not principal.may(Right.OPERATE):
            raise Forbidden("budgets are set by operators; ask one of them")

    def _named(self, budget: Budget) -> str:
        """A budget as the ledger may name it: users under their pseudonyms."""
        if budget.scope is Scope.USER and budget.subject != "*":
            budget = replace(budget, subject=self._ledger.alias(budget.tenant, budget.subject))
        return budget.id

    def _record(self, connection: Connection, principal: Principal, told: dict[str, Any]) -> None:
        by = self._ledger.pseudonym(principal)
        row = Entry(
            Kind.CHANGE,
            self._ledger.clock(),
            tenant=principal.tenant,
            user=by,
            key=principal.key,
            details=told,
        )
        self._ledger.append(connection, row)
