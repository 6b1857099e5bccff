"""What the router decided, and what became of it, as the ledger kept it: no text of anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Row, select

from rag.cost.ledger import Kind
from rag.cost.tables import ledger
from rag.store.database import Database


def decisions(database: Database, *, since: float = 0.0) -> Iterator[str]:
    """One JSON line per request that a tier was chosen for, as rag.routing.recording reads them.

    `outcomes`: by tier that drafted, the part of its sentences that passages supported, and what it cost.
    """
    rows = ledger.c
    query = (
        select(ledger)
        .where(rows.kind == Kind.REQUEST, rows.at >= since, rows.request_id != "")
        .order_by(rows.request_id, rows.seq)
    )
    with database.reading() as connection:
        found = connection.execute(query).all()
    for _, of_request in groupby(found, key=lambda row: row.request_id):
        tiers = list(of_request)
        route: dict[str, Any] | None = json.loads(tiers[-1].details).get("route")
        if route and "case" in route:
            drafts = route.pop("drafts", {})
            route["outcomes"] = {
                row.tier: {"quality": drafts[row.tier], "cost": booked(row)}
                for row in tiers
                if row.tier in drafts
            }
            yield json.dumps(route, ensure_ascii=False)


def booked(row: Row[Any]) -> float:
    """The money of a row."""
    return float(row.depreciation + row.energy + row.opex + row.external)
