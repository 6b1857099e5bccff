"""Reservations: the most a request may use is held before the work, what it used is booked after it.

A hold is one conditional UPDATE per balance within the transaction that writes it down: two requests cannot
both take the last of a budget. Amounts are whole billionths, so what is given back is what was taken.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from rag.cost.budget import NANO, Account, Amounts, Unit, kind_of, nano
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
BALANCE = (
    select(balances.c.spent, balances.c.warned, budgets.c.amount, budgets.c.soft, budgets.c.id)
    .join(budgets, budgets.c.id == balances.c.budget)
    .where(*THIS)
)
WARN = update(balances).where(*THIS).values(warned=1)
REMEMBER = insert(reservations)
FORGET = delete(reservations).where(reservations.c.id == bindparam("of_id"))


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request under way: what it holds of which balances (budget, subject, start, billionths), and what the
    ledger will say of it."""

    id: str
    holds: tuple[tuple[str, str, str, int], ...]
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a settled request did to its budgets: a warning for each soft limit that was crossed now, and what
    is spent of each balance after it (kind of budget, start, amount)."""

    warnings: tuple[str, ...]
    balances: tuple[tuple[str, str, float], ...]


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
        for account, (*key, amount) in zip(accounts, holds, strict=True):
            asked = {**of(*key), "most": amount, "limit": nano(account.limit)}
            if not connection.execute(HOLD, asked).rowcount:
                return None
        lease_until = self.clock() + LEASE_S
        told = {"holds": json.dumps(holds), "entry": json.dumps(entry)}
        row = {"id": reservation_id, "worker": self._worker, "lease_until": lease_until, **told}
        connection.execute(REMEMBER, row)
        return Reservation(reservation_id, holds, entry)

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
        sums = {(budget, subject, start): amount for budget, subject, start, amount in held.holds}
        for key, amount in more.items():
            sums[key] = sums.get(key, 0) + amount
        holds = tuple((*key, amount) for key, amount in sums.items())
        entry = {**held.entry, "external_most": held.entry["external_most"] + external}
        told = {"holds": json.dumps(holds), "entry": json.dumps(entry)}
        connection.execute(update(reservations).where(reservations.c.id == held.id).values(told))
        return Reservation(held.id, holds, entry)

    def lower(self, connection: Connection, held: Reservation, most: Amounts) -> Reservation:
        """Hold no more than this of each balance; what is held below it stays as it is."""
        holds = tuple(
            (budget, subject, start, min(amount, nano(most.of(unit_of(budget)))))
            for budget, subject, start, amount in held.holds
        )
        told = update(reservations).where(reservations.c.id == held.id).values(holds=json.dumps(holds))
        if not connection.execute(told).rowcount:
            return held  # somebody swept it up when its lease was over: what it held is free already
        for before, after in zip(held.holds, holds, strict=True):
            connection.execute(BOOK, {**of(*before[:3]), "used": 0, "freed": before[3] - after[3]})
        return Reservation(held.id, holds, held.entry)

    def settle(self, connection: Connection, held: Reservation, used: Amounts) -> Settlement:
        """Book what was used and let go of the rest."""
        is_held = connection.execute(FORGET, {"of_id": held.id}).rowcount == 1
        warnings, after = [], []
        for *key, amount in held.holds:
            this = of(*key)
            unit = unit_of(key[0])
            # Somebody swept it up when its lease was over: what it held is free already.
            freed = amount if is_held else 0
            connection.execute(BOOK, {**this, "used": nano(used.of(unit)), "freed": freed})
            if (row := connection.execute(BALANCE, this).one_or_none()) is None:
                continue  # the budget was removed meanwhile
            spent, limit = row.spent / NANO, row.amount / NANO
            after.append((kind_of(row.id), key[2], spent))
            if not row.warned and row.spent >= row.amount * row.soft:
                connection.execute(WARN, this)
                warnings.append(
                    f"{spent / limit:.0%} of budget {row.id} is spent ({spent:.4g} of {limit:.4g})"
                )
        return Settlement(tuple(warnings), tuple(after))

    def abandoned(self, connection: Connection) -> list[Reservation]:
        """Requests under way in processes that died, or that took longer than their lease."""
        rows = connection.execute(select(reservations)).all()
        now = self.clock()
        left = [row for row in rows if row.lease_until < now or is_gone(row.worker)]
        return [
            Reservation(row.id, tuple(map(tuple, json.loads(row.holds))), json.loads(row.entry))
            for row in left
        ]

    def renew(self, ids: Sequence[str]) -> None:
        """Put off the end of the leases of requests that are still under way."""
        later = (
            update(reservations).where(reservations.c.id.in_(ids)).values(lease_until=self.clock() + LEASE_S)
        )
        with self.database.writing() as connection:
            connection.execute(later)


def unit_of(budget_id: str) -> Unit:
    """The unit that a budget counts in, which its id ends with."""
    return Unit(budget_id.rpartition(":")[2])


def of(budget: str, subject: str, start: str) -> dict[str, str]:
    """The key of a balance as the statements call it."""
    return {"of_budget": budget, "of_subject": subject, "of_start": start}
