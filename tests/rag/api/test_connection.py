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
    """An answer that takes longer than a head may."""
    await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    before, connection.HEAD_S = connection.HEAD_S, 0.2
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
    with socket.create_connection(("127.0.0.1", port), timeout=3) as opened:
        yield opened


def test_who_says_nothing_is_dropped(line: socket.socket) -> None:
    assert line.recv(100) == b""


def test_a_head_that_trickles_in_is_not_waited_for(line: socket.socket) -> None:
    ended = False
    for byte in HEAD:
        try:
            line.sendall(bytes([byte]))
        except OSError:
            ended = True
            break
        time.sleep(0.05)
    assert ended


def test_an_answer_may_take_longer_than_a_head_and_the_next_request_begins_anew(line: socket.socket) -> None:
    for _ in range(2):
        line.sendall(HEAD + b"\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 204")
    line.sendall(HEAD)
    assert line.recv(100) == b""
