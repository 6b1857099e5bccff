"""Supervised children: native code runs in them, because native code dies.

A child runs one service (a class whose `methods` may be called) and speaks length-prefixed JSON on a socket.
`Worker` owns a private child; `rag.sharing` has the one child that all processes of a home use. The child's
side is in `rag.child`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import IO, Any, Protocol

from rag.errors import WorkerDied, WorkerTimeout, WorkerUnavailable, from_wire

CRASHES_ALLOWED = 3
CRASH_WINDOW_S = 60.0
# Kernels meet at barriers hundreds of times per token. By default a thread burns its time slice there while
# the other one waits for a core: on a busy machine decode was 13 times slower and took 11 times the CPU.
ENVIRONMENT = {"GOMP_SPINCOUNT": "4000"}


@dataclass(slots=True)
class CpuTally:
    """CPU-seconds that children took for the calls of one piece of work."""

    seconds: float = 0.0


# Set by who wants to know; calls within the same task, or tasks it starts, add to it.
CHILD_CPU: ContextVar[CpuTally | None] = ContextVar("CHILD_CPU", default=None)


class Caller(Protocol):
    """Anything whose methods live in a child."""

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        """The result of one call. Raises what the service raised, or a WorkerError."""
        ...


class Connection:
    """Many calls at once over one socket to a child. Lives on one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        self.name = name
        self.alive = True
        self._reader, self._writer = reader, writer
        self._pending: dict[int, asyncio.Queue[dict[str, Any]]] = {0: asyncio.Queue()}
        self._ids = itertools.count(1)
        self._pump = asyncio.create_task(self._receive(), name=f"{name}-receive")

    async def ready(self, timeout_s: float) -> None:
        """Wait until the service is built. Raises what its constructor raised."""
        await self._next(0, timeout_s, "start")

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        async with contextlib.aclosing(self._exchange(method, args, timeout_s)) as messages:
            async for message in messages:
                if "result" in message:
                    if tally := CHILD_CPU.get():
                        tally.seconds += message.get("cpu_s", 0.0)
                    return message["result"]
        raise WorkerDied(f"the {self.name} process ended before it answered {method!r}")

    async def stream(self, method: str, **args: Any) -> AsyncIterator[Any]:
        async with contextlib.aclosing(self._exchange(method, args, None)) as messages:
            async for message in messages:
                if "event" in message:
                    yield message["event"]

    def leave(self) -> None:
        """Tell a shared child that it need not wait for another client after this one."""
        if self.alive:
            with contextlib.suppress(ConnectionError):
                self._writer.write(frame({"id": 0, "leave": True}))

    async def close(self) -> None:
        self._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _exchange(
        self, method: str, args: dict[str, Any], timeout_s: float | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        if not self.alive:
            raise WorkerDied(f"the {self.name} process is gone")
        number = next(self._ids)
        self._pending[number] = asyncio.Queue()
        settled = False
        try:
            await self._send({"id": number, "method": method, "args": args})
            while not settled:
                message = await self._next(number, timeout_s, method)
                settled = "result" in message
                yield message
        finally:
            del self._pending[number]
            if not settled and self.alive:
                with contextlib.suppress(ConnectionError):
                    self._writer.write(frame({"id": number, "cancel": True}))

    async def _next(self, number: int, timeout_s: float | None, method: str) -> dict[str, Any]:
        waiting = self._pending[number]
        if timeout_s is None:  # every token of a stream comes this way
            message = await waiting.get()
        else:
            try:
                async with asyncio.timeout(timeout_s):
                    message = await waiting.get()
            except TimeoutError:
                late = f"the {self.name} process did not answer {method!r} within {timeout_s:g} s"
                raise WorkerTimeout(late) from None
        if "error" in message:
            raise from_wire(message["error"])
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            self._writer.write(frame(message))
            await self._writer.drain()
        except ConnectionError:
            self.alive = False  # the reader may notice later, and the next call must not come here again
            raise WorkerDied(f"the {self.name} process is gone") from None

    async def _receive(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                message = json.loads(await self._reader.readexactly(size))
                if queue := self._pending.get(message["id"]):
                    queue.put_nowait(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.alive = False
            message = f"the {self.name} process died; it is restarted at the next call"
            died = {"type": "WorkerDied", "message": message}
            for queue in self._pending.values():
                queue.put_nowait({"error": died})


class Worker:
    """A private child, started at the first call and again after it died.

    `target` is "module:Class", `config` its keyword arguments (JSON values). A child that dies three times
    within a minute is left alone for the rest of that minute: calls then raise WorkerUnavailable.
    """

    def __init__(
        self,
        target: str,
        config: dict[str, Any],
        *,
        name: str,
        start_timeout_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.target, self.config = name, target, config
        self._start_timeout_s = start_timeout_s
        self._crashes = CrashLog(name, clock)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process id of the living child."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        connection = await self.start()
        process = self._process  # kept: by the time it died, another caller may have started the next one
        try:
            return await connection.call(method, timeout_s=timeout_s, **args)
        except WorkerDied as error:
            raise WorkerDied(f"{error}{await obituary(process)}") from None

    async def stream(self, method: str, **args: Any) -> AsyncIterator[Any]:
        connection = await self.start()
        process = self._process
        try:
            async with contextlib.aclosing(connection.stream(method, **args)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
        except WorkerDied as error:
            raise WorkerDied(f"{error}{await obituary(process)}") from None

    async def start(self) -> Connection:
        """The connection to a ready child; starts one if none lives."""
        async with self._starting:
            if self._connection and self._connection.alive:
                return self._connection
            if self._connection:
                self._crashes.note()
                await self._reap()
            self._crashes.refuse_a_loop()
            self._connection = await self._spawn()
            return self._connection

    async def kill(self) -> None:
        """End the child at once; the next call starts a fresh one. Not counted as a crash."""
        await self._reap(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask the child to finish, then make sure it is gone."""
        if self._connection:
            await self._connection.close()
            self._connection = None
            if self._process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(self._process.wait, 5.0)
        # One that is still starting has nothing to finish, and may be in native code for minutes.
        await self._reap()

    async def _spawn(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = ["--fd", str(theirs.fileno())]
            self._process = spawn(self.target, self.config, self.name, arguments, theirs.fileno())
        reader, writer = await asyncio.open_connection(sock=ours)
        connection = Connection(reader, writer, self.name)
        try:
            await connection.ready(self._start_timeout_s)
        except WorkerDied as error:
            self._crashes.note()
            ending = await obituary(self._process)
            await connection.close()
            await self._reap()
            raise WorkerDied(f"{error}{ending}") from None
        except BaseException:
            await connection.close()
            await self._reap()
            raise
        return connection

    async def _reap(self, sign: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if process and process.poll() is None:
            process.send_signal(sign)
        if process:
            await asyncio.to_thread(process.wait)
        if connection:
            await connection.close()


class CrashLog:
    """When a child died lately: three times within a minute is a loop, and it is left alone for a while."""

    def __init__(
        self, name: str, clock: Callable[[], float], told_by: str = "rag doctor says what is wrong"
    ) -> None:
        self._name, self._clock, self._told_by = name, clock, told_by
        self._times: deque[float] = deque(maxlen=CRASHES_ALLOWED)

    def note(self) -> None:
        self._times.append(self._clock())

    def refuse_a_loop(self) -> None:
        """Raises WorkerUnavailable during the rest of the minute."""
        if len(self._times) < CRASHES_ALLOWED:
            return
        wait_s = CRASH_WINDOW_S - (self._clock() - self._times[0])
        if wait_s > 0:
            raise WorkerUnavailable(
                f"the {self._name} process died {CRASHES_ALLOWED} times within a minute; "
                f"it is tried again in {wait_s:.0f} s ({self._told_by})"
            )


def spawn(
    target: str,
    config: dict[str, Any],
    name: str,
    arguments: list[str],
    *descriptors: int,
    log: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `python -m rag.child`. What it prints goes to our standard error; with a `log` it goes there, for
    the child may outlive us, and who waits for the end of our output must not wait for it.
    """
    command = [sys.executable, "-m", "rag.child", target, json.dumps(config), "--name", name, *arguments]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log or sys.__stderr__,
        stderr=log,
        pass_fds=descriptors,
        start_new_session=bool(log),
        env=ENVIRONMENT | os.environ,
    )


def frame(message: dict[str, Any]) -> bytes:
    """One message on the wire: four bytes of length, then JSON."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return len(body).to_bytes(4, "big") + body


async def obituary(process: subprocess.Popen[bytes] | None) -> str:
    """How a child that hung up ended, in brackets; nothing if it still lives."""
    if process is None:
        return ""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f" ({how_it_ended(await asyncio.to_thread(process.wait, 2.0))})"
    return ""


def how_it_ended(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"exit status {code}"
    name = signal.Signals(-code).name
    likely = {
        "SIGKILL": "killed, most often for lack of memory",
        "SIGBUS": "the disk is full or a mapped file shrank",
        "SIGILL": "built for another CPU",
    }
    return f"{name}: {likely[name]}" if name in likely else name
