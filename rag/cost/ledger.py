"""What every request cost, for good: rows that are only ever added, each sealed together with the one before.

The seal is HMAC-SHA256 with a key that lies in the home and not in the database: who may write the database
can neither change a row nor make up a chain. Cutting off the newest rows shows against the bookmark in the
home, and against a head that was kept elsewhere (`rag cost verify --head`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from rag.cost.bookmark import NEWEST, Bookmark
from rag.cost.meter import Charge, Work
from rag.cost.tables import ledger
from rag.durable import write_whole
from rag.errors import SettingsError
from rag.store.database import Database
from rag.types import Principal

KEY = "ledger.key"
GENESIS = "0" * 64
COLUMNS = tuple(column.name for column in ledger.columns)
SEALED = tuple(name for name in COLUMNS if name != "hash")
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)

# Written once: making a statement anew takes longer than running it.
ADD = insert(ledger)
MONEY = select(ledger.c.currency).where(ledger.c.currency != "").order_by(ledger.c.seq.desc()).limit(1)


class Kind(StrEnum):
    """What a row is about."""

    OPENING = "opening"  # the first row: from here on time is accounted for
    REQUEST = "request"
    LOOKUP = "lookup"  # a search, or vectors, without an answer
    INGESTION = "ingestion"  # work of a run of ingestion
    IDLE = "idle"  # the time of a closed period that no request took
    CHANGE = "change"  # somebody set, removed or overrode a budget


ASKED = (Kind.REQUEST, Kind.LOOKUP)  # what somebody asked for
WORKING = (*ASKED, Kind.INGESTION)  # the rows whose seconds are not idle


class Ending(StrEnum):
    """How a request ended."""

    OK = "ok"
    CACHED = "cached"  # an answer given before
    DEGRADED = "degraded"  # answered with less than was asked for, to stay within a budget
    ESCALATED = "escalated"  # this tier's draft was not enough: another row of the request has the answer
    REFUSED = "refused"
    INTERRUPTED = "interrupted"  # the caller went away, or the process died
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to be. `user` is a pseudonym (Ledger.pseudonym); `details` holds what no sum needs."""

    kind: Kind
    at: float
    request_id: str = ""
    tenant: str = ""
    user: str = ""
    key: str = ""
    collection: str = ""
    tier: str = ""
    model: str = ""
    outcome: str = ""
    work: Work = Work()
    charge: Charge | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row: its number and its seal. The seal of the row before the first is all zeros."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over all rows found. `broken`: number of the first row that is not as it was written."""

    rows: int
    head: Head
    broken: int | None = None
    problem: str = ""


class Ledger:
    """The rows of one database. Raises SettingsError when they were sealed with another home's key."""

    def __init__(
        self,
        database: Database,
        home: Path,
        *,
        clock: Callable[[], float] = time.time,
        within: Connection | None = None,
    ) -> None:
        """`within`: a transaction under way that holds the write lock, to join."""
        self.database, self.clock = database, clock
        self._key, self._bookmark = read_key(home / KEY), Bookmark(home)
        with nullcontext(within) if within else database.writing() as connection:
            first = connection.execute(select(ledger).where(ledger.c.seq == 1)).one_or_none()
            if first is None:
                self.append(connection, Entry(Kind.OPENING, clock()))
            elif self._seal(first) != first.hash:
                raise SettingsError(
                    f"the ledger was begun with another {home / KEY}: copy the file from the machine "
                    "that began it, readable for its owner only"
                )
        if within is None:
            self.remember()

    def remember(self) -> None:
        """Note in the home how far the ledger is now, unless it lacks what was noted before."""
        with self.database.reading() as connection:
            self._bookmark.move(connection)

    def gap(self) -> str:
        """What it lacks of what it had when the home last looked; empty: nothing. Quick: one row is read."""
        with self.database.reading() as connection:
            return self._bookmark.problem(connection)

    def append(self, connection: Connection, entry: Entry) -> Head:
        """Add one row, within a transaction that holds the write lock."""
        head = self.head(connection)
        if not head.seq and entry.kind is not Kind.OPENING:  # emptied under a process that runs
            head = self.append(connection, Entry(Kind.OPENING, self.clock()))
        values = {**_columns(entry), "seq": head.seq + 1, "previous": head.hash}
        sealed = Head(head.seq + 1, seal(self._key, values))
        connection.execute(ADD, {**values, "hash": sealed.hash})
        return sealed

    def rename(self, connection: Connection, tenant: str, old: str, new: str) -> None:
        """Note that a user has another name, under pseudonyms: what he used stays his, and is nobody's who
        gets the old name (`usage.held`)."""
        told = {"renamed": self.alias(tenant, old), "to": self.alias(tenant, new)}
        row = Entry(Kind.CHANGE, self.clock(), tenant=tenant, user=told["to"], details=told)
        self.append(connection, row)

    def head(self, connection: Connection) -> Head:
        """The newest row."""
        found = connection.execute(NEWEST).one_or_none()
        return Head(found.seq, found.hash) if found else Head()

    def currency(self, connection: Connection) -> str:
        """What its newest money is counted in; empty before there is any."""
        return connection.execute(MONEY).scalar_one_or_none() or ""

    def verify(self, known: Head | None = None) -> Verification:
        """Walk over all rows. `known`: a head kept elsewhere, which must still be among them; so must be what
        the home noted itself."""
        last = Head()
        with self.database.reading() as connection:
            for row in connection.execute(
                select(ledger).order_by(ledger.c.seq).execution_options(yield_per=1000)
            ):
                if problem := self._problem(row, last):
                    return Verification(last.seq, last, row.seq, problem)
                last = Head(row.seq, row.hash)
                if known and known.seq == row.seq and known.hash != row.hash:
                    return Verification(
                        row.seq, last, row.seq, "the row is not the one that was known before"
                    )
        if known and known.seq > last.seq:
            return Verification(last.seq, last, last.seq + 1, f"the rows up to {known.seq} are gone")
        if gap := self.gap():
            return Verification(last.seq, last, last.seq + 1, gap)
        self.remember()
        return Verification(last.seq, last)

    def pseudonym(self, principal: Principal) -> str:
        """What stands for a user in the rows: the same for the same user, and not to be turned back."""
        return self.alias(principal.tenant, principal.user or principal.key)

    def alias(self, tenant: str, user: str) -> str:
        """The same for a tenant and a user's id; empty for the owner of the home."""
        if not user:
            return ""
        return hmac.new(self._key, f"user\0{tenant}\0{user}".encode(), hashlib.sha256).hexdigest()[:16]

    def _problem(self, row: Row[Any], last: Head) -> str:
        if row.seq != last.seq + 1:
            return f"row {last.seq + 1} is missing"
        if row.previous != last.hash:
            return "it does not follow the row before it"
        return "" if self._seal(row) == row.hash else "it was changed after it was written"

    def _seal(self, row: Row[Any]) -> str:
        return seal(self._key, {name: row._mapping[name] for name in SEALED})


def seal(key: bytes, values: Mapping[str, Any]) -> str:
    """The seal of a row, the seal of the row before included."""
    told = canonical({name: values[name] for name in SEALED})
    return hmac.digest(key, told.encode(), "sha256").hex()


def canonical(values: Mapping[str, Any]) -> str:
    """The one text for the same values."""
    return ENCODER.encode(values)


def day_of(at: float) -> str:
    """The UTC day of a moment."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def read_key(path: Path) -> bytes:
    """The key of a home, made when there is none; for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_whole(path, os.urandom(32), keep_first=True)
    return path.read_bytes()


def _columns(entry: Entry) -> dict[str, Any]:
    """An entry as a row, without its number and seal. Numbers are floats where the database keeps floats."""
    work, charge = entry.work, entry.charge
    parts = {
        name: float(getattr(charge, name)) if charge else 0.0
        for name in (
            "busy_s",
            "depreciation",
            "energy",
            "opex",
            "external",
            "marginal",
            "energy_wh",
            "co2e_g",
        )
    }
    return {
        "at": float(entry.at),
        "day": day_of(entry.at),
        "kind": str(entry.kind),
        "request_id": entry.request_id,
        "tenant": entry.tenant,
        "user": entry.user,
        "key": entry.key,
        "collection": entry.collection,
        "tier": entry.tier,
        "model": entry.model,
        "outcome": str(entry.outcome),
        "prompt_tokens": work.prompt_tokens,
        "cached_tokens": work.cached_tokens,
        "completion_tokens": work.completion_tokens,
        "prefill_s": float(work.prefill_s),
        "decode_s": float(work.decode_s),
        "currency": charge.currency if charge else "",
        **parts,
        "details": canonical({**_measured(work, charge), **entry.details}),
    }


def _measured(work: Work, charge: Charge | None) -> dict[str, Any]:
    """What was measured and how, as far as no column has it."""
    told: dict[str, Any] = {}
    if work != Work():
        names = ("cpu_s", "retrieval_s", "embedding_s", "queue_s", "batch")
        told["work"] = {name: value for name in names if (value := getattr(work, name))}
    if charge:
        band = charge.band
        told["energy"] = {"method": band.method, "tier": band.tier, "low": band.low, "high": band.high}
        told["constants"], told["embodied_g"] = charge.constants, charge.embodied_g
        told["utilisation"], told["fully_loaded"] = charge.utilisation, charge.fully_loaded
    return told
