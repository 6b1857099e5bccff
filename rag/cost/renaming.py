"""Budgets follow whom they were set for to a new name: who gets the old one later finds none of it.

So does what was used, of which the ledger keeps pseudonyms. Start at follow and rename."""

from __future__ import annotations

import json
from itertools import product

from sqlalchemy import Connection, delete, insert, select, update

from rag.cost.budget import Scope, Span, Unit
from rag.cost.ledger import Ledger
from rag.cost.reservations import holds_of
from rag.cost.tables import balances, budgets, reservations

SOURCE = "renamed"  # not "settings": a rag.toml that knows the old name only must not take it away


def follow(connection: Connection, scope: Scope, tenant: str, old: str, new: str) -> None:
    """Move the budgets of one name to another, with what was spent and reserved; also its part of "*".

    A budget that was set for the new name before stands in the place of the one that comes.
    """
    if old == new:
        return
    moved: dict[str, str] = {}
    for span, unit in product(Span, Unit):
        before, everybody, after = (id_of(tenant, scope, name, span, unit) for name in (old, "*", new))
        moved |= {before: after, everybody: everybody}
        _move_budget(connection, before, after, new)
    for before, after in moved.items():
        _move_balances(connection, (before, old), (after, new))
    for row in connection.execute(select(reservations.c.id, reservations.c.holds)).all():
        holds = [
            (moved[budget], new, start, amount) if subject == old and budget in moved else hold
            for hold in holds_of(row.holds)
            for budget, subject, start, amount in [hold]
        ]
        changed = update(reservations).where(reservations.c.id == row.id)
        connection.execute(changed.values(holds=json.dumps(holds)))


def rename(connection: Connection, books: Ledger, tenant: str, old: str, new: str) -> None:
    """Let the ledger tell that a user is called otherwise now, and what he has under way be booked as his."""
    books.rename(connection, tenant, old, new)
    before, after = books.alias(tenant, old), books.alias(tenant, new)
    for row in connection.execute(select(reservations.c.id, reservations.c.entry)).all():
        entry = json.loads(row.entry)
        if entry.get("user") == before:
            told = json.dumps({**entry, "user": after})
            connection.execute(update(reservations).where(reservations.c.id == row.id).values(entry=told))


def id_of(tenant: str, scope: Scope, subject: str, span: Span, unit: Unit) -> str:
    """What a budget of these is called."""
    return ":".join((tenant, scope, subject, span, unit))


def _move_budget(connection: Connection, before: str, after: str, subject: str) -> None:
    taken = connection.execute(select(budgets.c.id).where(budgets.c.id == after)).first()
    if taken:
        connection.execute(delete(budgets).where(budgets.c.id == before))
        return
    values = {"id": after, "subject": subject, "source": SOURCE}
    connection.execute(update(budgets).where(budgets.c.id == before).values(values))


def _move_balances(connection: Connection, before: tuple[str, str], after: tuple[str, str]) -> None:
    """What was spent and reserved is added to what the new name has already."""
    this = (balances.c.budget == before[0], balances.c.subject == before[1])
    rows = connection.execute(select(balances).where(*this)).all()
    connection.execute(delete(balances).where(*this))
    for row in rows:
        there = {"budget": after[0], "subject": after[1], "start": row.start}
        more = {
            "spent": balances.c.spent + row.spent,
            "reserved": balances.c.reserved + row.reserved,
        }
        if not connection.execute(update(balances).filter_by(**there).values(more)).rowcount:
            kept = {"spent": row.spent, "reserved": row.reserved, "warned": row.warned}
            connection.execute(insert(balances).values(**there, **kept))
