"""The child's side of `rag.workers`: builds one service and answers calls until nobody is connected.

A service is a class with a tuple `methods`; a method that is a generator streams its events. A service with
a `run` method owns the main thread and takes requests from the inbox itself; others are called one at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import importlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from rag.errors import BadRequest, Cancelled, RagError, to_wire
from rag.silence import silence
from rag.workers import frame

LINGER_S = 3.0
DEADLINE_TO_CLOSE_S = 10.0


class Request:
    """One call as the service sees it. Answer it with any number of `emit` and one `finish` or `fail`."""

    def __init__(self, peer: Peer, number: int, method: str, args: dict[str, Any]) -> None:
        self.method, self.args = method, args
        self.cancelled = False
        self.peer, self._number = peer, number

    def emit(self, event: Any) -> None:
        self.peer.send(self.told(event))

    def told(self, event: Any) -> dict[str, Any]:
        """The message that brings an event."""
        return {"id": self._number, "event": event}

    def finish(self, result: Any = None, *, cpu_s: float = 0.0) -> None:
        self.peer.forget(self._number)
        self.peer.send({"id": self._number, "result": result, "cpu_s": cpu_s})

    def fail(self, error: BaseException) -> None:
        self.peer.forget(self._number)
        self.peer.send({"id": self._number, "error": to_wire(error)})


class Inbox:
    """Requests in the order in which they are to be served: a lower rank first, then by arrival."""

    def __init__(self, ranks: dict[str, int]) -> None:
        self.closed = False
        self._ranks = ranks
        self._arrivals = 0
        self._lock = threading.Lock()
        self._queue: queue.PriorityQueue[tuple[int, int, Request | None]] = queue.PriorityQueue()

    def put(self, request: Request) -> None:
        with self._lock:
            self._arrivals += 1
            self._queue.put((self._ranks.get(request.method, 0), self._arrivals, request))

    def close(self) -> None:
        self.closed = True
        self._queue.put((1 << 30, 0, None))

    def get(self, timeout_s: float | None = None) -> Request | None:
        """The next request; None when the time is up, or at once for 0, or when the inbox was closed."""
        try:
            return self._queue.get(block=timeout_s != 0, timeout=timeout_s or None)[2]
        except queue.Empty:
            return None

    def get_if(self, wanted: Callable[[Request], bool]) -> Request | None:
        """The next request if it is there by now and wanted; else it stays the next one."""
        with self._queue.mutex:
            found = self._queue.queue[0][2] if self._queue.queue else None
            if found is None or not wanted(found):
                return None
            heapq.heappop(self._queue.queue)
            return found


@runtime_checkable
class Runner(Protocol):
    """A service that takes requests itself."""

    def run(self, inbox: Inbox) -> None: ...


class Peer:
    """One connected client."""

    def __init__(self, sock: socket.socket, inbox: Inbox) -> None:
        self._sock, self._inbox = sock, inbox
        self._sending = threading.Lock()
        self._open: dict[int, Request] = {}
        self.lingers = True

    def send(self, *messages: dict[str, Any]) -> None:
        # A client that went away is noticed by the reader; its answers have nowhere to go.
        with contextlib.suppress(OSError), self._sending:
            self._sock.sendall(b"".join(map(frame, messages)))

    def forget(self, number: int) -> None:
        self._open.pop(number, None)

    def read(self) -> None:
        """Hand every message to the inbox until the client leaves; then cancel what it had open."""
        for message in self._messages():
            if message.get("leave"):
                self.lingers = False
                continue
            if message.get("cancel"):
                if request := self._open.get(message["id"]):
                    request.cancelled = True
                continue
            request = Request(self, message["id"], message["method"], message["args"])
            self._open[message["id"]] = request
            self._inbox.put(request)
        for request in list(self._open.values()):
            request.cancelled = True

    def _messages(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(OSError), self._sock.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                yield json.loads(stream.read(int.from_bytes(head, "big")))


def emit_together(events: Iterable[tuple[Request, Any]]) -> None:
    """Bring each request its event, all of one client in one write: who computes must not wait for each."""
    messages: dict[Peer, list[dict[str, Any]]] = {}
    for request, event in events:
        messages.setdefault(request.peer, []).append(request.told(event))
    for peer, of_peer in messages.items():
        peer.send(*of_peer)


def answer(service: Any, request: Request) -> None:
    """Call the method that a request names and send what it returns, yields or raises."""
    with telling([request]):
        if request.method not in service.methods:
            raise BadRequest(f"no method {request.method!r}; have {', '.join(service.methods)}")
        began = time.process_time()
        result = getattr(service, request.method)(**request.args)
        if isinstance(result, Iterator):
            for event in result:
                if request.cancelled:
                    raise Cancelled("the caller went away")
                request.emit(event)
            result = None
        # Calls come one at a time, so all that the process took meanwhile was for this one.
        request.finish(result, cpu_s=time.process_time() - began)


def answer_together(
    work: Callable[[Sequence[dict[str, Any]]], Sequence[Any]], requests: Sequence[Request]
) -> None:
    """Send each request what `work` makes of the arguments of all; what it raises, all of them get."""
    with telling(requests):
        began = time.process_time()
        results = work([request.args for request in requests])
        cpu_s = (time.process_time() - began) / len(requests)
        for request, result in zip(requests, results, strict=True):
            request.finish(result, cpu_s=cpu_s)


@contextlib.contextmanager
def telling(requests: Sequence[Request]) -> Iterator[None]:
    """Turns what is raised into the answer to these requests: the worker loop goes on."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, RagError):
            print(f"{requests[0].method}: {type(error).__name__}: {error}", file=sys.stderr)
        for request in requests:
            request.fail(error)


def serve(service: Any, inbox: Inbox) -> None:
    """Run the service on this thread until the inbox closes."""
    if isinstance(service, Runner):
        service.run(inbox)
        return
    while request := inbox.get():
        if not request.cancelled:
            answer(service, request)


def build(target: str, config: dict[str, Any]) -> Any:
    """The service "module:Class" names, made with the config as keyword arguments."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)(**config)


def serve_private(target: str, config: dict[str, Any], descriptor: int) -> None:
    """Serve the parent over an inherited socket; end when it closes it."""
    sock = socket.socket(fileno=descriptor)
    hello = Peer(sock, Inbox({}))
    try:
        service = build(target, config)
    except Exception as error:
        hello.send({"id": 0, "error": to_wire(error)})
        return
    inbox = Inbox(getattr(service, "ranks", {}))
    peer = Peer(sock, inbox)
    peer.send({"id": 0, "result": "ready"})

    def read() -> None:
        peer.read()
        inbox.close()
        end_by_force_later()

    threading.Thread(target=read, daemon=True).start()
    serve(service, inbox)
    close(service)


def serve_shared(target: str, config: dict[str, Any], address: str) -> None:
    """Serve everyone who connects to a Unix socket; end when nobody has been connected for a moment."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    hub = Hub(listener)
    threading.Thread(target=hub.accept, daemon=True).start()
    try:
        hub.open(build(target, config))
    except Exception as error:
        hub.refuse(to_wire(error))
        time.sleep(LINGER_S)
        return
    threading.Thread(target=hub.watch, args=(address,), daemon=True).start()
    serve(hub.service, hub.inbox)
    close(hub.service)


class Hub:
    """The clients of a shared service. They may come before it is built, and then wait."""

    def __init__(self, listener: socket.socket) -> None:
        self.service: Any = None
        self.inbox = Inbox({})
        self._listener = listener
        self._clients: set[socket.socket] = set()
        self._error: dict[str, Any] | None = None
        self._closing = False
        self._linger_s = LINGER_S
        self._built = threading.Event()
        self._lock = threading.Lock()

    def open(self, service: Any) -> None:
        self.service, self.inbox = service, Inbox(getattr(service, "ranks", {}))
        self._built.set()

    def refuse(self, error: dict[str, Any]) -> None:
        """Tell everybody why there is no service."""
        self._error = error
        self._built.set()

    def accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with self._lock:
                # Who comes now gets no greeting, and so starts the next child.
                if self._closing:
                    sock.close()
                    continue
                self._clients.add(sock)
            threading.Thread(target=self._attend, args=(sock,), daemon=True).start()

    def watch(self, address: str) -> None:
        idle_since = time.monotonic()
        while True:
            time.sleep(0.1)
            with self._lock:
                if self._clients:
                    idle_since = time.monotonic()
                self._closing = not self._clients and time.monotonic() - idle_since >= self._linger_s
            if self._closing:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(address)
                self.inbox.close()
                end_by_force_later()
                return

    def _attend(self, sock: socket.socket) -> None:
        self._built.wait()
        peer = Peer(sock, self.inbox)
        if self._error:
            peer.send({"id": 0, "error": self._error})
        else:
            peer.send({"id": 0, "result": "ready"})
            peer.read()
        with self._lock:
            self._clients.discard(sock)
            self._linger_s = LINGER_S if peer.lingers else 0.0
        sock.close()


def close(service: Any) -> None:
    if hasattr(service, "close"):
        service.close()


def end_by_force_later() -> None:
    """A service that hangs in native code must not outlive its clients."""
    timer = threading.Timer(DEADLINE_TO_CLOSE_S, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


def main() -> None:
    silence()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parser = argparse.ArgumentParser(prog="rag.child")
    parser.add_argument("target")
    parser.add_argument("config", type=json.loads)
    parser.add_argument("--name")
    parser.add_argument("--fd", type=int)
    parser.add_argument("--listen")
    parser.add_argument("--lock-fd", type=int)
    arguments = parser.parse_args()
    if arguments.listen:
        os.set_inheritable(arguments.lock_fd, False)  # a child of this child must not hold the lock longer
        serve_shared(arguments.target, arguments.config, arguments.listen)
    else:
        serve_private(arguments.target, arguments.config, arguments.fd)
    sys.stdout.flush()
    os._exit(0)  # daemon threads of native libraries must not delay or break the end


if __name__ == "__main__":
    main()
