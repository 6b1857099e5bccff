"""Runs a function in a forked child with limits and without network, and takes its answer from a pipe."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rag.errors import Damaged, LimitExceeded, ParseError

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG = 1
MAX_WRITTEN_BYTES = 1 << 30
MAX_OPEN_FILES = 256
MAX_RESULT_BYTES = 256 << 20
MAX_NOTE_BYTES = 200
# Said by a child after each page that it recognised: such work is slow, so each page brings time of its own.
PROGRESS = "+"
STEP_S, STEP_CPU_S, MAX_STEPS = 10.0, 2, 500
# The parent itself takes about this much address space; a child with less could not start.
LEAST_MEMORY_BYTES = 512 << 20
FORBIDDEN_EVENTS = {
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
}

Note = Callable[[str], None]
Work = Callable[[Note], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a child left. `note`: the last thing it said about what it is at; `cpu_s` with all it started."""

    result: dict[str, Any] | None
    note: str
    cpu_s: float
    pid: int
    error: ParseError | None = None


class Confinement:
    """Limits for children: wall seconds, more for every PROGRESS they make, and bytes of address space."""

    def __init__(self, *, timeout_s: float, memory_bytes: int) -> None:
        self._timeout_s, self._memory_bytes = timeout_s, memory_bytes
        self._libc = ctypes.CDLL(None, use_errno=True)

    def run(self, work: Work) -> Outcome:
        """Do work in a child. It may call its argument with a word on what it is at, should it die of it."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            self._be_the_child(work, writer)
        os.close(writer)
        data: bytes | None = b""
        error: ParseError | None = None
        try:
            data = self._receive(reader)
        except LimitExceeded as limit:
            error = limit
        finally:
            os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
        if data is None:
            error = LimitExceeded(f"reading it took more than {self._timeout_s:g} s")
        *lines, last = (data or b"").split(b"\n")
        notes = [line for line in lines if line != PROGRESS.encode()]
        note = notes[-1].decode("ascii", "replace")[:MAX_NOTE_BYTES] if notes else ""
        result: dict[str, Any] | None = None
        if error is None:
            try:
                result = json.loads(last)
            except ValueError:
                error = obituary(status, note)
        return Outcome(result, note, usage.ru_utime + usage.ru_stime, child, error)

    def _receive(self, reader: int) -> bytes | None:
        """What the child wrote until it ended; None when its time was up. Raises LimitExceeded."""
        deadline = time.monotonic() + self._timeout_s
        pieces: list[bytes] = []
        size = steps = 0
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([reader], [], [], left)
            if not ready:
                break
            piece = os.read(reader, 1 << 20)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            # JSON as we write it has no line ends, and a pipe does not cut what is written so short.
            made = min(piece.count(b"+\n"), MAX_STEPS - steps)
            steps, deadline = steps + made, deadline + made * STEP_S
            if size > MAX_RESULT_BYTES:
                raise LimitExceeded(f"its text is larger than {MAX_RESULT_BYTES} bytes")
        return None

    def _be_the_child(self, work: Work, writer: int) -> NoReturn:
        """Never returns: the stack above belongs to the parent."""
        code = 1
        try:
            confine(self._libc, memory_bytes=self._memory_bytes, timeout_s=self._timeout_s)
            with open(writer, "wb", buffering=0) as pipe:

                def tell(note: str) -> None:
                    if note == PROGRESS:
                        allow_more_cpu()
                    write(pipe.fileno(), note.encode("ascii", "replace") + b"\n")

                result = work(tell)
                write(pipe.fileno(), json.dumps(result, ensure_ascii=True).encode("ascii"))
            code = 0
        except BaseException as error:  # nothing may escape into the parent's stack
            print(f"parse child: {type(error).__name__}", file=sys.stderr)
        finally:
            os._exit(code)


def write(pipe: int, data: bytes) -> None:
    """All of the data; a pipe takes it in pieces."""
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]


def confine(libc: Any, *, memory_bytes: int, timeout_s: float) -> None:
    """Bound what this process can take, and cut it off from the network."""
    os.setsid()  # so that programs it starts die with it
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ["OMP_NUM_THREADS"] = "1"
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    cpu_s = int(timeout_s * 1.2) + 1
    for limit, value in (
        (resource.RLIMIT_AS, max(memory_bytes, LEAST_MEMORY_BYTES + address_space())),
        (resource.RLIMIT_FSIZE, MAX_WRITTEN_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = cpu_s + MAX_STEPS * STEP_CPU_S
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (min(cpu_s, most), most))
    # An empty network namespace where the kernel grants one; the hook below refuses in any case.
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
    sys.addaudithook(refuse_network)


def allow_more_cpu() -> None:
    """Raise our own limit of CPU seconds for one more step."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft + STEP_CPU_S, hard), hard))


def refuse_network(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in FORBIDDEN_EVENTS:
        raise PermissionError("a parser has no business on the network")


def address_space() -> int:
    """Bytes of address space this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def obituary(status: int, note: str = "") -> ParseError:
    """Why a child ended without a result. `note`: the format it was reading."""
    reader = f"the {note} parser" if note else "the parser"
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        if number is signal.SIGXCPU:
            return LimitExceeded("reading it took too much processor time")
        if number in (signal.SIGKILL, signal.SIGXFSZ):
            return LimitExceeded(f"{reader} was ended by {number.name}: it took too much memory or disk")
        return Damaged(f"{reader} crashed ({number.name})")
    return Damaged(f"{reader} ended early (exit status {os.waitstatus_to_exitcode(status)})")
