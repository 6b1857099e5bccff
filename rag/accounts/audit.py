"""The audit log: who did what to what. Each row is chained to the one before under the secret of the home.

An edit, a removal or another order anywhere shows, and so does an end that was cut off before the last head
that was exported. What was cut off after it does not: that is at most HEAD_EVERY rows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select

from rag.accounts.pepper import Pepper
from rag.accounts.tables import audit
from rag.store.database import Database
from rag.types import Principal

HEADS = "audit-heads.jsonl"
HEAD_EVERY = 100  # rows
PAGE = 1000
LONGEST = 500  # characters of an object: ids and paths, never what a document says


class Result(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Deed:
    """One row. `time`: seconds since 1970; `key`: public id of the key or session; `digest`: its link."""

    seq: int
    time: float
    tenant: str
    actor: str
    key: str
    action: str
    object: str
    outcome: str
    request_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at the whole chain found. `problem`: the first thing that is wrong; empty: nothing."""

    rows: int
    heads: int
    problem: str = ""


class Audit:
    """The chain of one home. Every method is one short transaction; any process may call it."""

    def __init__(
        self, database: Database, home: Path, pepper: Pepper, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._pepper, self._clock = database, pepper, clock
        self.heads = home / HEADS

    def record(
        self,
        action: str,
        who: Principal | str,
        *,
        object: str = "",
        outcome: Result = Result.DONE,
        request_id: str = "",
        tenant: str = "",
    ) -> Deed:
        """Write one row, durable when this returns.

        `who`: a principal, or words for who is none. `tenant`: whose things it is about; else his own.
        """
        known = who if isinstance(who, Principal) else Principal(user=who)
        fields: dict[str, Any] = {
            "tenant": tenant or known.tenant,
            "actor": known.user or "owner",
            "key": known.key,
            "action": action,
            "object": object[:LONGEST],
            "outcome": outcome.value,
            "request_id": request_id,
        }
        with self._database.writing() as connection:
            last = connection.execute(
                select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)
            ).first()
            row: dict[str, Any] = {"seq": last.seq + 1 if last else 1, "time": self._clock(), **fields}
            row["digest"] = self._link(last.digest if last else "", row)
            connection.execute(insert(audit).values(row))
        deed = Deed(**row)
        if deed.seq % HEAD_EVERY == 0:
            self._export(deed)
        return deed

    def page(self, *, tenant: str | None = None, after: int = 0, limit: int = PAGE) -> list[Deed]:
        """Rows in their order behind `after`; of one tenant or of all."""
        query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
        if tenant is not None:
            query = query.where(audit.c.tenant == tenant)
        with self._database.reading() as connection:
            return [deed_of(row) for row in connection.execute(query)]

    def latest(self, *, tenant: str | None = None, limit: int = PAGE) -> list[Deed]:
        """The last rows, in their order."""
        query = select(audit).order_by(audit.c.seq.desc()).limit(limit)
        if tenant is not None:
            query = query.where(audit.c.tenant == tenant)
        with self._database.reading() as connection:
            return [deed_of(row) for row in connection.execute(query)][::-1]

    def all(self) -> Iterator[Deed]:
        """Every row in its order, page by page."""
        after = 0
        while rows := self.page(after=after):
            yield from rows
            after = rows[-1].seq

    def export_head(self) -> Deed | None:
        """Write the last row's link to the file of heads now; None for an empty log."""
        rows = self.latest(limit=1)
        if rows:
            self._export(rows[0])
        return rows[0] if rows else None

    def verify(self) -> Finding:
        """Read the whole chain and hold it against the exported heads."""
        try:
            heads = self._exported()
        except ValueError:
            return Finding(0, 0, f"{self.heads.name} is not what was written")
        link, count, missing = "", 0, dict(heads)
        for deed in self.all():
            count += 1
            if deed.seq != count:
                return Finding(count, len(heads), f"row {count} is missing")
            row = {name: value for name, value in asdict(deed).items() if name != "digest"}
            link = self._link(link, row)
            if link != deed.digest:
                return Finding(count, len(heads), f"row {count} is not what was written, or not in its place")
            if missing.pop(count, link) != link:
                return Finding(count, len(heads), f"row {count} is not the one whose head was exported")
        if missing:
            return Finding(count, len(heads), f"rows behind {count} are missing, up to {max(missing)}")
        if count >= HEAD_EVERY and not heads:
            return Finding(count, 0, f"{self.heads.name} is missing, so an end cut off would not show")
        return Finding(count, len(heads))

    def _link(self, before: str, row: dict[str, Any]) -> str:
        canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return self._pepper.digest("audit", before.encode(), canonical.encode())

    def _export(self, deed: Deed) -> None:
        """Append a head to the file that whoever keeps a second copy reads."""
        line = json.dumps({"seq": deed.seq, "time": deed.time, "digest": deed.digest}) + "\n"
        descriptor = os.open(self.heads, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(line)
            file.flush()
            os.fsync(descriptor)

    def _exported(self) -> dict[int, str]:
        """The exported heads. Raises ValueError for a file that is not whole."""
        if not self.heads.exists():
            return {}
        heads = [json.loads(line) for line in self.heads.read_text().splitlines()]
        if not all(isinstance(head, dict) and {"seq", "digest"} <= head.keys() for head in heads):
            raise ValueError
        # The first head of a row counts: a chain that was cut off and written on exports another one.
        return {int(head["seq"]): str(head["digest"]) for head in reversed(heads)}


def deed_of(row: Row[Any]) -> Deed:
    return Deed(**row._mapping)
