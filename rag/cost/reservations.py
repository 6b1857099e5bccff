"""Reservations: the most a request may use is held before the work, what it used is booked after it.

A hold is one conditional UPDATE per balance within the transaction that writes it down: two requests cannot
both take the last of a budget. Amounts are whole billionths, so what is given back is what was taken.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, tuple_, update

from rag.cost.budget import NANO, Account, Amounts, Unit, figure, kind_of, nano
from rag.cost.tables import balances, budgets, reservations
from rag.errors import BudgetExceeded
from rag.store.database import Database
from rag.store.processes import is_gone, this_process

LEASE_S = 900.0

# Written once: making a statement anew takes longer than running it.
THIS = (
    balances.c.budget == bindparam("of_budget"),
    balances.c.subject == bindparam("of_subject"),
    balances.c.start == bindparam("of_start"),
)
HOLD = (
    update(balances)
    .where(*THIS, balances.c.spent + balances.c.reserved + bindparam("most") <= bindparam("limit"))
    .values(reserved=balances.c.reserved + bindparam("most"))
)
BOOK = (
    update(balances)
    .where(*THIS)
    .values(spent=balances.c.spent + bindparam("used"), reserved=balances.c.reserved - bindparam("freed"))
)
WARN = update(balances).where(*THIS).values(warned=1)
REMEMBER = insert(reservations)
LOWER = update(reservations).where(reservations.c.id == bindparam("of_id")).values(holds=bindparam("told"))
HELD = select(reservations.c.holds).where(reservations.c.id == bindparam("of_id"))
FORGET = (
    delete(reservations)
    .where(reservations.c.id == bindparam("of_id"))
    .returning(reservations.c.holds, reservations.c.entry)
)
Hold = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request under way: what it held of which balances (budget, subject, start, billionths) when last
    asked, and what the ledger will say of it. Whom it is about may be renamed since: the database knows."""

    id: str
    holds: tuple[Hold, ...]
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a settled request did to its budgets: a warning for each soft limit that was crossed now, and what
    is spent of each balance after it (kind of budget, start, amount). `entry`: what the ledger will say."""

    warnings: tuple[str, ...]
    balances: tuple[tuple[str, str, float], ...]
    entry: Mapping[str, Any]


class Reservations:
    """The requests under way, in all processes. What takes a connection joins its transaction."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database, self.clock = database, clock
        self._worker = this_process()

    def reserve(
        self,
        connection: Connection,
        reservation_id: str,
        accounts: Sequence[Account],
        most: Amounts,
        entry: Mapping[str, Any],
    ) -> Reservation | None:
        """Hold the most that a request may use of all its balances; None, and roll back, if one has less."""
        holds = tuple((*each.key, nano(most.of(each.budget.unit))) for each in accounts)
        asked = [
            {**of(*hold[:3]), "most": hold[3], "limit": nano(account.limit)}
            for account, hold in zip(accounts, holds, strict=True)
        ]
        if asked and connection.execute(HOLD, asked).rowcount < len(asked):
            return None
        return self._remember(connection, Reservation(reservation_id, holds, entry))

    def extend(
        self,
        connection: Connection,
        held: Reservation,
        accounts: Sequence[Account],
        most: Amounts,
        *,
        external: float,
    ) -> Reservation:
        """Hold so much more. Raises BudgetExceeded, and the transaction rolls back, if a balance has less."""
        more = {each.key: nano(most.of(each.budget.unit)) for each in accounts}
        for account in accounts:
            asked = {**of(*account.key), "most": more[account.key], "limit": nano(account.limit)}
            if not connection.execute(HOLD, asked).rowcount:
                raise BudgetExceeded(f"budget {account.budget.id} does not allow a dearer tier")
        found = connection.execute(FORGET, {"of_id": held.id}).one_or_none()
        sums = amounts(holds_of(found.holds if found else None))
        for key, amount in more.items():
            sums[key] = sums.get(key, 0) + amount
        holds = tuple((*key, amount) for key, amount in sums.items())
        known = json.loads(found.entry) if found else held.entry
        entry = {**known, "external_most": known["external_most"] + external}
        return self._remember(connection, Reservation(held.id, holds, entry))

    def lower(self, connection: Connection, held: Reservation, most: Amounts) -> Reservation:
        """Hold no more than this of each balance; what is held below it stays as it is."""
        found = connection.execute(HELD, {"of_id": held.id}).scalar_one_or_none()
        if found is None:
            return held  # somebody swept it up when its lease was over: what it held is free already
        before_it = holds_of(found)
        holds = tuple(
            (budget, subject, start, min(amount, nano(most.of(unit_of(budget)))))
            for budget, subject, start, amount in before_it
        )
        connection.execute(LOWER, {"of_id": held.id, "told": json.dumps(holds)})
        pairs = zip(before_it, holds, strict=True)
        freed = [{**of(*old[:3]), "used": 0, "freed": old[3] - new[3]} for old, new in pairs]
        if freed:
            connection.execute(BOOK, freed)
        return Reservation(held.id, holds, held.entry)

    def settle(self, connection: Connection, held: Reservation, used: Amounts) -> Settlement:
        """Book what was used and let go of the rest."""
        found = connection.execute(FORGET, {"of_id": held.id}).one_or_none()
        # Somebody swept it up when its lease was over: what it held is free already.
        freed = amounts(holds_of(found.holds)) if found else {hold[:3]: 0 for hold in held.holds}
        entry = json.loads(found.entry) if found else held.entry
        if not freed:
            return Settlement((), (), entry)
        booked = [{**of(*key), "used": nano(used.of(unit_of(key[0]))), "freed": freed[key]} for key in freed]
        connection.execute(BOOK, booked)
        keys = {f"key{n}_{part}": name for n, key in enumerate(freed) for part, name in enumerate(key)}
        rows = connection.execute(standing(len(freed)), keys)
        known = {(row.budget, row.subject, row.start): row for row in rows}
        warnings, after = [], []
        for key in freed:
            if (row := known.get(key)) is None:
                continue  # the budget was removed meanwhile
            spent, limit = row.spent / NANO, row.amount / NANO
            after.append((kind_of(row.budget), row.start, spent))
            if not row.warned and row.spent >= row.amount * row.soft:
                connection.execute(WARN, of(*key))
                told = f"{figure(spent)} of {figure(limit)}"
                warnings.append(f"{spent / limit:.0%} of budget {row.budget} is spent ({told})")
        return Settlement(tuple(warnings), tuple(after), entry)

    def abandoned(self, connection: Connection) -> list[Reservation]:
        """Requests under way in processes that died, or that took longer than their lease."""
        rows = connection.execute(select(reservations)).all()
        now = self.clock()
        left = [row for row in rows if row.lease_until < now or is_gone(row.worker)]
        return [Reservation(row.id, holds_of(row.holds), json.loads(row.entry)) for row in left]

    def renew(self, ids: Sequence[str]) -> None:
        """Put off the end of the leases of requests that are still under way."""
        later = (
            update(reservations).where(reservations.c.id.in_(ids)).values(lease_until=self.clock() + LEASE_S)
        )
        with self.database.writing() as connection:
            connection.execute(later)

    def _remember(self, connection: Connection, made: Reservation) -> Reservation:
        told = {"holds": json.dumps(made.holds), "entry": json.dumps(made.entry)}
        lease = {"worker": self._worker, "lease_until": self.clock() + LEASE_S}
        connection.execute(REMEMBER, {"id": made.id, **lease, **told})
        return made


@cache
def standing(count: int) -> Select[Any]:
    """What is spent of so many balances (`key0_0` to `key0_2`…), and the budgets of those that have one."""
    keys = [tuple_(*(bindparam(f"key{n}_{part}") for part in range(3))) for n in range(count)]
    columns = (balances.c.budget, balances.c.subject, balances.c.start)
    return (
        select(*columns, balances.c.spent, balances.c.warned, budgets.c.amount, budgets.c.soft)
        .join(budgets, budgets.c.id == balances.c.budget)
        .where(tuple_(*columns).in_(keys))
    )


def holds_of(told: str | None) -> tuple[Hold, ...]:
    """What a row of the reservations holds; nothing of a row that is gone."""
    return tuple((*key, amount) for *key, amount in json.loads(told or "[]"))


def amounts(holds: Sequence[Hold]) -> dict[tuple[str, str, str], int]:
    """What is held of each balance: two of one request are one where a subject was renamed to another."""
    sums: dict[tuple[str, str, str], int] = {}
    for budget, subject, start, amount in holds:
        sums[budget, subject, start] = sums.get((budget, subject, start), 0) + amount
    return sums


def unit_of(budget_id: str) -> Unit:
    """The unit that a budget counts in, which its id ends with."""
    return Unit(budget_id.rpartition(":")[2])


def of(budget: str, subject: str, start: str) -> dict[str, str]:
    """The key of a balance as the statements call it."""
    return {"of_budget": budget, "of_subject": subject, "of_start": start}
