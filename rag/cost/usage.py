"""Who used how much: sums over the ledger, by tenant, user, collection, tier, model, outcome or day."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, case, func, literal, or_, select

from rag.cost.ledger import ASKED, WORKING, Ending, Kind
from rag.cost.tables import ledger
from rag.store.database import Database

SUMS = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "busy_s",
    "prefill_s",
    "depreciation",
    "energy",
    "opex",
    "external",
    "marginal",
    "energy_wh",
    "co2e_g",
)

LAST = 2**62
Rename = tuple[int, str, str]  # the row that tells it, the pseudonym before and after
Span = tuple[str, int, int]  # a pseudonym, and the rows after and before which it is meant


class By(StrEnum):
    """What usage is added up by. Users stand under their pseudonyms."""

    TENANT = "tenant"
    USER = "user"
    KEY = "key"
    COLLECTION = "collection"
    TIER = "tier"
    MODEL = "model"
    OUTCOME = "outcome"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Sums over the requests, lookups and ingestion of one `name`, without idle time. Money as booked, in the
    ledger's currency; energy at the machine. A question that two tiers worked on is one request."""

    name: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    busy_s: float
    prefill_s: float
    depreciation: float
    energy: float
    opex: float
    external: float
    marginal: float
    energy_wh: float
    co2e_g: float

    @property
    def booked(self) -> float:
        """All money."""
        return self.depreciation + self.energy + self.opex + self.external


def usage(
    database: Database,
    *,
    since: float = 0.0,
    until: float = float("inf"),
    by: By | None = None,
    tenant: str | None = None,
    user: str | None = None,
    kinds: Sequence[Kind] = WORKING,
    least_written: int = 0,
) -> tuple[UsageLine, ...]:
    """Sums from `since` up to `until`, dearest first, days in their order; without `by` one line in all.

    `user`: a pseudonym (Ledger.pseudonym); of whoever has that name now, also from before he had it, and not
    of who had it before. `least_written`: tokens below which an answer does not count.
    """
    rows = ledger.c
    key: ColumnElement[str] = literal("all") if by is None else rows[by]
    is_whole = rows.kind.in_(ASKED) & (rows.outcome != Ending.ESCALATED)
    count = func.sum(case((is_whole, 1), else_=0))
    query = select(key.label("name"), count, *(func.sum(rows[name]) for name in SUMS)).where(
        rows.kind.in_(kinds), rows.at >= since, rows.at < min(until, 1e15)
    )
    if least_written:
        query = query.where(rows.completion_tokens >= least_written)
    if tenant is not None:
        query = query.where(rows.tenant == tenant)
    with database.reading() as connection:
        if user is not None:
            spans = held(renames(connection, tenant), user)
            its = ((rows.user == name) & (rows.seq > begin) & (rows.seq < end) for name, begin, end in spans)
            query = query.where(or_(*its))
        found = connection.execute(query if by is None else query.group_by(key)).all()
    lines = [line_of(*row) for row in found if row[1] is not None]
    return tuple(sorted(lines, key=lambda line: line.name if by is By.DAY else -line.booked))


def renames(connection: Connection, tenant: str | None) -> list[Rename]:
    """Who got another name when, the oldest first."""
    rows = ledger.c
    query = select(rows.seq, rows.details).where(rows.kind == Kind.CHANGE, rows.tier == "").order_by(rows.seq)
    if tenant is not None:
        query = query.where(rows.tenant == tenant)
    told = ((seq, json.loads(details)) for seq, details in connection.execute(query))
    return [(seq, each["renamed"], each["to"]) for seq, each in told if "renamed" in each]


def held(renames: Sequence[Rename], user: str, end: int = LAST) -> list[Span]:
    """The pseudonyms that stood for the one who had this one before row `end`, each with the rows between
    which it did."""
    for seq, old, new in reversed(renames):
        if seq < end and new == user:
            return [*held(renames, old, seq), (user, seq, end)]
        if seq < end and old == user:
            return [(user, seq, end)]  # what is older is of the one who left the name
    return [(user, 0, end)]


def line_of(name: str, requests: int, *sums: float) -> UsageLine:
    """One line of what the database added up; Postgres adds whole numbers up to decimals."""
    tokens, rest = (int(each) for each in sums[:3]), (float(each) for each in sums[3:])
    return UsageLine(name, int(requests), *tokens, *rest)
