"""How far the ledger was when somebody last looked, in a file beside it: one that was emptied does not begin
anew in silence."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from sqlalchemy import Connection, bindparam, select

from rag.cost.tables import ledger
from rag.durable import write_whole

FILE = "ledger.head"
SEAL = select(ledger.c.hash).where(ledger.c.seq == bindparam("of_seq"))
NEWEST = select(ledger.c.seq, ledger.c.hash).order_by(ledger.c.seq.desc()).limit(1)


class Bookmark:
    """The last head that was seen, as NUMBER:SEAL. It only moves on while the ledger still has that row, so
    what was lost stays known until somebody removes the file. Backups leave it out: they are older."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._seen, self._lock = "", threading.Lock()

    def problem(self, connection: Connection) -> str:
        """What the ledger lacks of what it had; empty: nothing, or nobody ever looked."""
        try:
            told = self.path.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError):
            told = ""
        seq, _, seal = told.strip().partition(":")
        if not seq.isdecimal() or len(seal) != 64:
            return f"{self.path.name} in the home is not what was written there: remove it to go on without"
        if (found := connection.execute(SEAL, {"of_seq": int(seq)}).scalar_one_or_none()) == seal:
            return ""
        lost = f"the rows up to {seq} are gone" if found is None else f"row {seq} is another than it was"
        return (
            f"{lost}: the ledger was emptied, cut or exchanged; restore a backup, or remove {self.path.name} "
            "from the home to go on with what is left"
        )

    def move(self, connection: Connection) -> None:
        """Note the newest row, if all is there that was noted before. `connection` must see committed rows
        only."""
        with self._lock:
            newest = connection.execute(NEWEST).one_or_none()
            told = f"{newest.seq}:{newest.hash}" if newest else ""
            if told in ("", self._seen) or self.problem(connection):
                return
            self._write(told)
            self._seen = told

    def _write(self, told: str) -> None:
        # A home that is full, or may only be read, keeps the older mark, which is as true.
        with contextlib.suppress(OSError):
            write_whole(self.path, f"{told}\n".encode())
