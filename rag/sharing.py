"""The one child that all processes of a home share, such as the owner of the embedded index."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from rag.errors import WorkerDied, WorkerUnavailable
from rag.workers import Connection, CrashLog, spawn

LEAVE_S = 3.0


class SharedWorker:
    """The one child that all processes of a home share, such as the owner of the embedded index.

    A lock file holds its address, a log beside it what the child prints. Who finds no living child starts
    one; it ends soon after its last client.
    """

    def __init__(
        self, target: str, config: dict[str, Any], *, name: str, lock: Path, start_timeout_s: float = 120.0
    ) -> None:
        self.name, self.target, self.config, self.lock = name, target, config, lock
        self._start_timeout_s = start_timeout_s
        self._connection: Connection | None = None
        self._starting = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = lock.with_suffix(".log")
        self._crashes = CrashLog(name, time.monotonic, f"{self._log} says why")

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        return await (await self.start()).call(method, timeout_s=timeout_s, **args)

    async def start(self) -> Connection:
        async with self._starting:
            if self._connection and self._connection.alive:
                return self._connection
            if self._connection:
                await self._connection.close()
                self._connection = None
            deadline = time.monotonic() + self._start_timeout_s
            while time.monotonic() < deadline:
                if connection := await self._connect():
                    self._connection = connection
                    return connection
                self._notice_a_crash()
                self._crashes.refuse_a_loop()
                await asyncio.to_thread(self._spawn_if_free)
                await asyncio.sleep(0.05)
            raise WorkerUnavailable(f"the {self.name} process could not be reached through {self.lock}")

    async def stop(self, *, linger: bool = False) -> None:
        """Leave. The child ends when nobody else is connected: at once, or seconds later if it may linger.

        A command lets it linger, so that the next one finds it warm; a program that goes on waits for it.
        """
        if self._connection:
            if not linger:
                self._connection.leave()
            await self._connection.close()
            self._connection = None
        if self._process:
            if not linger:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(self._process.wait, LEAVE_S)
            disown(self._process)
            self._process = None

    def _notice_a_crash(self) -> None:
        """A child of ours that ended by a signal or an error before anybody could talk to it."""
        if self._process and self._process.poll():
            self._crashes.note()
            self._process = None

    async def _connect(self) -> Connection | None:
        try:
            address = self.lock.read_text()  # not computed: whoever started the child may have another TMPDIR
            reader, writer = await asyncio.open_unix_connection(address)
        except (OSError, ValueError):
            return None
        connection = Connection(reader, writer, self.name)
        try:
            await connection.ready(self._start_timeout_s)
        except WorkerDied:
            await connection.close()
            return None
        except BaseException:
            await connection.close()
            # A child that refused tells everybody why for a moment and ends by itself.
            disown(self._process)
            self._process = None
            raise
        return connection

    def _spawn_if_free(self) -> None:
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.lock.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return  # another process lives, or is just starting one
            address = str(address_of(self.lock))
            handle.truncate(0)
            handle.write(address)
            handle.flush()
            # The child inherits the descriptor and with it the lock: it is free when the child is gone.
            arguments = ["--listen", address, "--lock-fd", str(handle.fileno())]
            disown(self._process)
            with open(self._log, "wb", opener=private) as log:
                self._process = spawn(
                    self.target, self.config, self.name, arguments, handle.fileno(), log=log
                )
        time.sleep(0.05)


def address_of(lock: Path) -> Path:
    """The socket of a lock file: short, because a Unix address holds 107 bytes, and private to the user.

    Of this very file: where a home was deleted and made anew, the child of the old one still ends in peace.
    """
    folder = Path(tempfile.gettempdir()) / f"permafrost-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise WorkerUnavailable(f"{folder} is not private to this user; remove it, or set TMPDIR to another")
    told = f"{lock.resolve()} {lock.stat().st_ino}"
    return folder / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.sock"


def private(path: str, flags: int) -> int:
    """A file that only its owner reads."""
    return os.open(path, flags, 0o600)


def disown(process: subprocess.Popen[bytes] | None) -> None:
    """Forget a shared child that lives on for others, without the warning a private one would deserve."""
    if process and process.poll() is None:
        process.returncode = 0
