"""Whole replies to requests with an Idempotency-Key, given again for a day: no work is done twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.engine import Connection

from rag.conversations.tables import replies
from rag.errors import IdempotencyInProgress, IdempotencyMismatch
from rag.store.catalog import Catalog
from rag.store.processes import is_gone, this_process
from rag.types import Principal

KEPT_S = 24 * 3600.0
# Of a worker on another machine it is not known when it died.
LEASE_S = 600.0
LARGEST_BYTES = 1_000_000
# Wherever our replies hold words of a document, its id stands beside them.
NAMED = re.compile(rb'\\?"document_id\\?":\s*\\?"([^"\\]+)')


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one request. `scope`: digest of who, where and the key; `request`: that of the body."""

    scope: str
    request: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Replies:
    """The replies of one home. `epoch` tells the last removal of a document (rag.store.revocation)."""

    def __init__(
        self, catalog: Catalog, epoch: Callable[[], str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._catalog, self._epoch, self._clock = catalog, epoch, clock
        self._database, self._worker = catalog.database, this_process()

    def claim(self, slot: Slot, principal: Principal) -> Reply | None:
        """The reply given before; None: there is none, and this process is to make it.

        One that names a document which its reader may not read now, or from before a removal, is dropped.
        Raises IdempotencyInProgress, or IdempotencyMismatch for another body.
        """
        epoch = self._epoch()
        with self._database.reading() as connection:
            found = self._valid(connection, slot)
        if found and found.status is not None and found.epoch == epoch and self._open(found.body, principal):
            return Reply(found.status, tuple((name, value) for name, value in found.headers), found.body)
        with self._database.writing() as connection:
            now = self._valid(connection, slot)
            if now and (found is None or now.created_at != found.created_at):
                raise in_progress()  # somebody else was faster
            connection.execute(delete(replies).where(replies.c.scope == slot.scope))
            at = self._clock()
            connection.execute(
                insert(replies).values(
                    scope=slot.scope,
                    request=slot.request,
                    epoch=epoch,
                    created_at=at,
                    worker=self._worker,
                    lease_until=at + LEASE_S,
                )
            )
        return None

    def keep(self, slot: Slot, reply: Reply) -> None:
        """Remember a claimed reply, unless it is too large: then it is as if nobody had asked."""
        if len(reply.body) > LARGEST_BYTES:
            self.release(slot)
            return
        values = {"status": reply.status, "headers": [list(each) for each in reply.headers]}
        mine = (replies.c.scope == slot.scope, replies.c.worker == self._worker)
        with self._database.writing() as connection:
            connection.execute(update(replies).where(*mine).values(**values, body=reply.body))

    def release(self, slot: Slot) -> None:
        """Forget a claim whose work came to nothing worth keeping."""
        mine = (replies.c.scope == slot.scope, replies.c.worker == self._worker, replies.c.status.is_(None))
        with self._database.writing() as connection:
            connection.execute(delete(replies).where(*mine))

    def forget_old(self) -> int:
        """Delete what is kept for a day or from before a removal, and is not given again; how many."""
        old = replies.c.created_at < self._clock() - KEPT_S
        stale = replies.c.status.is_not(None) & (replies.c.epoch != self._epoch())
        with self._database.writing() as connection:
            return connection.execute(delete(replies).where(old | stale)).rowcount

    def _valid(self, connection: Connection, slot: Slot) -> Row[object] | None:
        """The row of a slot unless it is over; raises what its state forbids."""
        row = connection.execute(select(replies).where(replies.c.scope == slot.scope)).first()
        if row is None or row.created_at < self._clock() - KEPT_S:
            return None
        if row.status is None and (row.lease_until < self._clock() or is_gone(row.worker)):
            return None
        if row.request != slot.request:
            raise IdempotencyMismatch(
                "this Idempotency-Key was used with another body within 24 hours; send a new key"
            )
        if row.status is None:
            raise in_progress()
        return row

    def _open(self, body: bytes, principal: Principal) -> bool:
        """Whether every document that a body names may be read now."""
        named = {found.decode("utf-8", "replace") for found in NAMED.findall(body)}
        return all(self._catalog.document(each, principal) for each in named)


def in_progress() -> IdempotencyInProgress:
    return IdempotencyInProgress(
        "a request with this Idempotency-Key is still being answered; ask again in a moment"
    )
