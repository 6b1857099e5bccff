"""How busy the machine was of late."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select

from rag.cost.ledger import WORKING
from rag.cost.tables import ledger
from rag.store.database import Database

DAY_S = 86_400
GOOD_FOR_S = 60.0
BEGINNING = select(ledger.c.at).where(ledger.c.seq == 1)


class Load:
    """Busy over provisioned seconds of the last 24 hours, or since the ledger was opened if that is less.

    The ledger is asked once a minute; work of this process counts at once.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock
        self._began, self._busy_s, self._until = clock(), 0.0, float("-inf")

    def add(self, busy_s: float) -> None:
        """Note work that is about to be booked."""
        self.share()
        self._busy_s += busy_s

    def share(self) -> float:
        """The load in [0, 1]; 1 as long as nobody asked: there is nothing to spread idle time over."""
        now = self._clock()
        if now >= self._until:
            self._look_up(now)
        seconds = min(DAY_S, now - self._began)
        return min(1.0, self._busy_s / seconds) if self._busy_s and seconds > 0 else 1.0

    def _look_up(self, now: float) -> None:
        rows = ledger.c
        busy = select(func.coalesce(func.sum(rows.busy_s), 0.0))
        lately = busy.where(rows.kind.in_(WORKING), rows.at > now - DAY_S)
        with self._database.reading() as connection:
            began = connection.execute(BEGINNING).scalar_one_or_none()
            self._began = now if began is None else float(began)
            self._busy_s = float(connection.execute(lately).scalar_one())
        self._until = now + GOOD_FOR_S
