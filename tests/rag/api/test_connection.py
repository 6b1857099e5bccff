from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from rag.api import connection
from rag.api.connection import Connection

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """At /slow an answer that takes longer than a head may."""
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * connection.HEAD_S)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    before, connection.HEAD_S = connection.HEAD_S, 0.5
    config = uvicorn.Config(answer, port=0, log_config=None, lifespan="off", http=Connection)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()
    connection.HEAD_S = before


@pytest.fixture
def line(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as opened:
        yield opened


def test_who_says_nothing_is_dropped(line: socket.socket) -> None:
    assert line.recv(100) == b""


def test_a_head_that_trickles_in_is_not_waited_for(line: socket.socket) -> None:
    line.sendall(HEAD + b"X-Slow: ")
    assert is_left(line, b"x")


def test_a_body_that_nobody_wants_any_more_is_not_waited_for(line: socket.socket) -> None:
    line.sendall(b"POST" + HEAD.removeprefix(b"GET") + b"Content-Length: 1000\r\n\r\n")
    assert line.recv(1000).startswith(b"HTTP/1.1 204")
    assert is_left(line, b"x")


def test_empty_lines_are_no_request(line: socket.socket) -> None:
    line.sendall(HEAD + b"\r\n")
    assert line.recv(1000).startswith(b"HTTP/1.1 204")
    assert is_left(line, b"\r\n")


def test_an_answer_may_take_longer_than_a_head_and_the_next_request_begins_anew(line: socket.socket) -> None:
    for _ in range(2):
        line.sendall(HEAD.replace(b"/", b"/slow", 1) + b"\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 204")
    line.sendall(HEAD)
    assert line.recv(100) == b""


def is_left(line: socket.socket, piece: bytes) -> bool:
    """Whether the other side ends the connection while this one sends a piece every 50 ms, 30 s at most."""
    try:
        for _ in range(600):
            line.sendall(piece)
            time.sleep(0.05)
    except OSError:
        return True
    return False


def ended(line: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    said = b""
    try:
        while piece := line.recv(10_000):
            said += piece
    except ConnectionResetError:
        pass
    return said


def sent(line: socket.socket, *pieces: bytes) -> int:
    """How many bytes the other side took before it ended the connection."""
    count = 0
    try:
        for piece in pieces:
            line.sendall(piece)
            count += len(piece)
            time.sleep(0.001)
    except OSError:
        pass
    return count


@pytest.mark.parametrize(
    "more",
    [
        [b"X-A: " + b"x" * 60_000 + b"\r\n", b"X-B: " + b"x" * 60_000 + b"\r\n\r\n"],
        [b"X-A: "] + [b"x" * 1000] * 400,
        [b"X-A: x\r\n"] * 20_000,
        [b"x" * 1000] * 400,
    ],
    ids=["two large", "one without an end", "many small", "a name without an end"],
)
def test_a_head_that_is_too_large_is_refused(line: socket.socket, more: list[bytes]) -> None:
    sent(line, HEAD, *more)
    said = ended(line)
    assert said == b"" or said.startswith(b"HTTP/1.1 400")
    assert b"204" not in said


def test_what_follows_a_body_is_bounded_too(line: socket.socket) -> None:
    head = b"POST" + HEAD.removeprefix(b"GET") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    taken = sent(line, head, *[b"X-A: " + b"x" * 1000 + b"\r\n"] * 20_000)
    assert taken < 10_000_000


def test_requests_in_a_row_are_answered_in_turn_and_not_without_end(line: socket.socket) -> None:
    line.sendall((HEAD + b"\r\n") * 4)
    said = b""
    while said.count(b"HTTP/1.1 204") < 4:
        said += line.recv(1000)
    line.sendall((HEAD + b"\r\n") * 1000)
    assert ended(line).count(b"HTTP/1.1 204") <= 10
