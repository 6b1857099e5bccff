"""The budgets that are in force, and how much of each is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from rag.cost.budget import NANO, Account, Budget, Scope, Span, budget_of, nano, start_of
from rag.cost.tables import balances, budgets
from rag.errors import NotFound, SettingsError
from rag.store.database import Database
from rag.types import Principal

# Written once: making a statement anew takes longer than running it.
OF_TENANT = select(budgets).where(budgets.c.tenant == bindparam("of_tenant")).order_by(budgets.c.id)
BALANCES = select(balances).where(
    balances.c.budget.in_(bindparam("ids", expanding=True)),
    balances.c.start.in_(bindparam("starts", expanding=True)),
)
NEW_BALANCE = insert(balances)
Key = tuple[str, str, str]  # of a balance: budget, subject, start


class Budgets:
    """The budgets of one database, for any process. What takes a connection joins its transaction."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database, self.clock = database, clock

    def declare(self, declared: Iterable[Budget]) -> None:
        """Make the budgets of rag.toml those that are in force, beside the ones that people set, and not in
        the place of one of those. Raises SettingsError for two of the same subject, period and unit.

        None changes nothing: a command that runs without the server's rag.toml must not open its budgets.
        """
        wanted: dict[str, Budget] = {}
        for each in declared:
            if each.id in wanted:
                raise SettingsError(f"two [[budgets]] are both {each.id}: keep one of them")
            wanted[each.id] = each
        if not wanted:
            return
        with self.database.writing() as connection:
            stale = (budgets.c.source == "settings", budgets.c.id.not_in(wanted))
            connection.execute(delete(budgets).where(*stale))
            by_people = select(budgets.c.id).where(budgets.c.source != "settings")
            kept = set(connection.execute(by_people).scalars())
            for each in wanted.values():
                if each.id not in kept:
                    self.set(connection, each)

    def set(self, connection: Connection, budget: Budget) -> None:
        """Set a budget, in the place of the one with its id; what was spent stays spent."""
        told = asdict(budget)
        values = {**told, "amount": nano(told.pop("limit"))}
        values.pop("limit")
        changed = connection.execute(update(budgets).where(budgets.c.id == budget.id).values(values))
        if not changed.rowcount:
            connection.execute(insert(budgets).values(id=budget.id, **values))

    def find(self, connection: Connection, budget_id: str) -> Budget:
        """One budget. Raises NotFound."""
        row = connection.execute(select(budgets).where(budgets.c.id == budget_id)).one_or_none()
        if row is None:
            raise NotFound(f"no budget {budget_id!r}; `rag cost budgets` lists them")
        return budget_of(row)

    def remove(self, connection: Connection, budget_id: str) -> None:
        """Remove a budget. What was spent of it stays known: requests under way still give back what they
        hold, and a budget that comes again does not start anew."""
        connection.execute(delete(budgets).where(budgets.c.id == budget_id))

    def override(self, connection: Connection, budget_id: str, *, extra: float, until: float) -> None:
        """Allow more for a while. The caller sees to permission, reason and record."""
        raised = {"extra": nano(extra), "extra_until": until}
        connection.execute(update(budgets).where(budgets.c.id == budget_id).values(raised))

    def standing(self, *, tenant: str | None = None) -> tuple[Account, ...]:
        """Every budget with what is spent and reserved of it now; one for each subject that used it."""
        with self.database.reading() as connection:
            of_all = select(budgets).order_by(budgets.c.id)
            rows = connection.execute(of_all if tenant is None else of_all.filter_by(tenant=tenant)).all()
            used = self._balances(connection, rows)
        found = []
        for row in rows:
            start = start_of(Span(row.period), self.clock())
            subjects = sorted(key[1] for key in used if key[0] == row.id and key[2] == start)
            found += [self._account(row, subject, used) for subject in subjects or [row.subject]]
        return tuple(found)

    def applicable(
        self, connection: Connection, principal: Principal, collection: str | None
    ) -> tuple[Account, ...]:
        """The balances that a request draws on; those that nobody drew on yet are begun."""
        rows = connection.execute(OF_TENANT, {"of_tenant": principal.tenant}).all()
        if not rows:
            return ()
        subjects: dict[str, Sequence[str]] = {
            Scope.TENANT: (principal.tenant,),
            Scope.USER: (principal.user,) if principal.user else (),
            Scope.KEY: (principal.key,) if principal.key else (),
            Scope.GROUP: principal.groups,
            Scope.COLLECTION: (collection,) if collection else (),
        }
        used = self._balances(connection, rows)
        found = tuple(
            self._account(row, subject, used)
            for row in rows
            for subject in subjects[row.scope]
            if row.subject in ("*", subject)
        )
        for budget, subject, start in {each.key for each in found} - used.keys():
            key = {"budget": budget, "subject": subject, "start": start}
            connection.execute(NEW_BALANCE, {**key, "spent": 0, "reserved": 0, "warned": 0})
        return found

    def _balances(self, connection: Connection, rows: Sequence[Row[Any]]) -> dict[Key, Row[Any]]:
        """The balances of these budgets for today and this month."""
        starts = [start_of(span, self.clock()) for span in Span]
        wanted = {"ids": [row.id for row in rows], "starts": starts}
        return {(row.budget, row.subject, row.start): row for row in connection.execute(BALANCES, wanted)}

    def _account(self, row: Row[Any], subject: str, used: dict[Key, Row[Any]]) -> Account:
        start = start_of(Span(row.period), self.clock())
        found = used.get((row.id, subject, start))
        limit = row.amount + (row.extra if self.clock() < row.extra_until else 0)
        spent, reserved = (found.spent, found.reserved) if found else (0, 0)
        return Account(budget_of(row), subject, start, limit / NANO, spent / NANO, reserved / NANO)
