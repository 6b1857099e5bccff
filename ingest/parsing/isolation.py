"""Parses each document in a process of its own that may die: with limits, without network.

The service is a parent that has the parsers loaded and forks a child per document. The child inherits
them, reads one file, writes JSON into a pipe and is gone; whatever it does, the parent goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import hashlib
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from ingest.chunking import chunk
from ingest.parsing import parser
from ingest.parsing.detection import Format, detect
from rag.embedding.tokens import TokenCounter
from rag.errors import Damaged, LimitExceeded, NotFound, ParseError, from_wire, to_wire

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG = 1
MAX_WRITTEN_BYTES = 1 << 30
MAX_OPEN_FILES = 256
MAX_RESULT_BYTES = 256 << 20
# The parent itself takes about this much address space; a child with less could not start.
LEAST_MEMORY_BYTES = 512 << 20
FORBIDDEN_EVENTS = {
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
}


class ParseService:
    """What runs in a parse worker: `read` turns a file into chunks."""

    methods = ("read", "warm")

    def __init__(
        self,
        model: str,
        chunk_tokens: int,
        timeout_s: float,
        memory_bytes: int,
        max_file_bytes: int,
        ocr_languages: str | None,
    ) -> None:
        self._measure = TokenCounter(Path(model))
        self._budget = min(chunk_tokens, self._measure.budget)
        self._timeout_s, self._memory_bytes = timeout_s, memory_bytes
        self._max_file_bytes, self._ocr_languages = max_file_bytes, ocr_languages
        self._libc = ctypes.CDLL(None, use_errno=True)
        gc.collect()
        gc.freeze()  # the children's collector must not touch, and so copy, our pages

    def warm(self) -> None:
        """Load the parser that takes seconds to load, before the first document needs it."""
        import ingest.parsing.elements  # noqa: F401

        gc.freeze()

    def read(self, path: str) -> dict[str, Any]:
        """Chunks, title, media type, pages, sha256, warnings of a file. Raises a ParseError, or NotFound."""
        result = self._in_child(path)
        if result.get("needs") == "elements":
            self.warm()
            result = self._in_child(path)
        if "error" in result:
            raise from_wire(result["error"])
        return result

    def _in_child(self, path: str) -> dict[str, Any]:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            self._be_the_child(path, writer)
        os.close(writer)
        try:
            data = self._receive(reader, child)
        finally:
            os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if data is None:
            raise LimitExceeded(f"reading it took more than {self._timeout_s:g} s")
        try:
            result: dict[str, Any] = json.loads(data)
        except ValueError:
            raise obituary(status) from None
        return result

    def _receive(self, reader: int, child: int) -> bytes | None:
        """What the child wrote until it ended; None when its time was up."""
        deadline = time.monotonic() + self._timeout_s
        pieces: list[bytes] = []
        size = 0
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([reader], [], [], left)
            if not ready:
                break
            piece = os.read(reader, 1 << 20)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if size > MAX_RESULT_BYTES:
                raise LimitExceeded(f"its text is larger than {MAX_RESULT_BYTES} bytes")
        return None

    def _be_the_child(self, path: str, writer: int) -> NoReturn:
        """Never returns: the stack above belongs to the parent."""
        code = 1
        try:
            confine(self._libc, memory_bytes=self._memory_bytes, timeout_s=self._timeout_s)
            result = self._attempt(path)
            with open(writer, "wb") as pipe:
                pipe.write(json.dumps(result, ensure_ascii=True).encode("ascii"))
            code = 0
        except BaseException as error:  # nothing may escape into the parent's stack
            print(f"parse child: {type(error).__name__}", file=sys.stderr)
        finally:
            os._exit(code)

    def _attempt(self, path: str) -> dict[str, Any]:
        try:
            return self._read(Path(path))
        except MemoryError:
            return {"error": to_wire(LimitExceeded(self._memory_problem()))}
        except RecursionError:
            return {"error": to_wire(Damaged("it is nested too deeply"))}
        except (ParseError, NotFound) as error:
            return {"error": to_wire(error)}
        except (
            Exception
        ) as error:  # the worker loop of one document: a parser's bug is that document's problem
            return {"error": to_wire(Damaged(f"the parser failed: {type(error).__name__}"))}

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            size = path.stat().st_size
            if size > self._max_file_bytes:
                raise LimitExceeded(f"{size} bytes, the limit is {self._max_file_bytes}")
            data = path.read_bytes()
        except FileNotFoundError:
            raise NotFound("the file is gone") from None
        except OSError as error:
            raise Damaged(f"the file cannot be opened: {error.strerror}") from None
        if "ingest.parsing.elements" not in sys.modules and detect(data, path.name) in parser.ELEMENTS:
            return {"needs": "elements"}
        kind, document = parser.parse(data, path.name, ocr_languages=self._ocr_languages)
        chunks = chunk(document.blocks, self._measure.spans, budget=self._budget)
        return {
            "sha256": hashlib.sha256(data).hexdigest(),
            "title": document.title,
            "media_type": Format(kind).value,
            "pages": document.pages,
            "warnings": list(document.warnings),
            "chunks": [dataclasses.asdict(each) for each in chunks],
        }

    def _memory_problem(self) -> str:
        return f"reading it took more than {self._memory_bytes >> 20} MiB of memory"


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
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, MAX_WRITTEN_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    # An empty network namespace where the kernel grants one; the hook below refuses in any case.
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
    sys.addaudithook(refuse_network)


def refuse_network(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in FORBIDDEN_EVENTS:
        raise PermissionError("a parser has no business on the network")


def address_space() -> int:
    """Bytes of address space this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def obituary(status: int) -> ParseError:
    """Why a child ended without a result."""
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        if number is signal.SIGXCPU:
            return LimitExceeded("reading it took too much processor time")
        if number in (signal.SIGKILL, signal.SIGXFSZ):
            return LimitExceeded(f"the parser was ended by {number.name}: it took too much memory or disk")
        return Damaged(f"the parser crashed ({number.name})")
    return Damaged(f"the parser ended early (exit status {os.waitstatus_to_exitcode(status)})")
