"""The budgets that are in force, and how much of each is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update

from rag.cost.budget import NANO, Account, Budget, Scope, Span, budget_of, nano, start_of
from rag.cost.tables import balances, budgets
from rag.errors import NotFound, SettingsError
from rag.store.database import Database
from rag.types import Principal

# Written once: making a statement anew takes longer than running it.
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
            theirs = () if tenant is None else (budgets.c.tenant == tenant,)
            rows = connection.execute(select(budgets).where(*theirs).order_by(budgets.c.id)).all()
            starts = self._starts()
            query = select(balances).where(
                balances.c.start.in_(starts.values()),
                balances.c.budget.in_(select(budgets.c.id).where(*theirs)),
            )
            drawn = connection.execute(query).all()
        used = {(row.budget, row.subject, row.start): row for row in drawn}
        subjects: dict[tuple[str, str], list[str]] = {}
        for budget, subject, start in sorted(used):
            subjects.setdefault((budget, start), []).append(subject)
        return tuple(
            self._account(row, subject, used, starts)
            for row in rows
            for subject in subjects.get((row.id, starts[row.period]), [row.subject])
        )

    def applicable(
        self, connection: Connection, principal: Principal, collection: str | None
    ) -> tuple[Account, ...]:
        """The balances that a request draws on; those that nobody drew on yet are begun. Who may see some
        collections only draws on theirs, also without naming one."""
        subjects: dict[str, Sequence[str]] = {
            Scope.TENANT: (principal.tenant,),
            Scope.USER: (principal.user,) if principal.user else (),
            Scope.KEY: (principal.key,) if principal.key else (),
            Scope.GROUP: principal.groups,
            Scope.COLLECTION: (collection,) if collection else principal.collections or (),
        }
        starts = self._starts()
        names = {f"subject{number}": name for number, name in enumerate({*chain(*subjects.values())})}
        wanted = {"of_tenant": principal.tenant, **names, **starts}
        rows = connection.execute(of_request(len(names)), wanted).all()
        used = {(row.id, row.drawn, row.start): row for row in rows}
        found = tuple(
            self._account(row, subject, used, starts)
            for row in {row.id: row for row in rows}.values()
            for subject in subjects[row.scope]
            if row.subject in ("*", subject)
        )
        for budget, subject, start in {each.key for each in found} - used.keys():
            key = {"budget": budget, "subject": subject, "start": start}
            connection.execute(NEW_BALANCE, {**key, "spent": 0, "reserved": 0, "warned": 0})
        return found

    def _starts(self) -> dict[str, str]:
        """What today and this month are called, by period."""
        now = self.clock()
        return {str(span): start_of(span, now) for span in Span}

    def _account(
        self, row: Row[Any], subject: str, used: Mapping[Key, Row[Any]], starts: Mapping[str, str]
    ) -> Account:
        start = starts[row.period]
        found = used.get((row.id, subject, start))
        limit = row.amount + (row.extra if self.clock() < row.extra_until else 0)
        spent, reserved = (found.spent, found.reserved) if found else (0, 0)
        return Account(budget_of(row), subject, start, limit / NANO, spent / NANO, reserved / NANO)


@cache
def of_request(subjects: int) -> Select[Any]:
    """The budgets of a tenant (`of_tenant`) for one of so many subjects (`subject0`…) or for each, with what
    those drew today and this month. A list of any length in one bind would be written anew at each call."""
    names: list[Any] = [bindparam(f"subject{number}") for number in range(subjects)]
    drawn = (
        (balances.c.budget == budgets.c.id)
        & balances.c.start.in_([bindparam(span) for span in Span])
        & balances.c.subject.in_(names)
    )
    columns = (balances.c.subject.label("drawn"), balances.c.start, balances.c.spent, balances.c.reserved)
    return (
        select(budgets, *columns)
        .outerjoin(balances, drawn)
        .where(budgets.c.tenant == bindparam("of_tenant"), budgets.c.subject.in_([*names, "*"]))
        .order_by(budgets.c.id)
    )
