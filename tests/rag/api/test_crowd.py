from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import socket
import time
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from rag.accounts.roles import Role
from rag.store.jobs import Jobs
from rag.types import Principal

ASKED = 60  # files: more than the sockets between the two hold
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "How many days of paid leave?"}]}


def asked(url: str) -> int:
    """The status of one question on a connection of its own."""
    with httpx.Client(timeout=60) as client:
        return client.post(f"{url}/v1/chat/completions", json=QUESTION).status_code


def test_of_too_many_at_once_the_rest_is_sent_away_without_work(serving: Any, library: Any) -> None:
    library.holds_after = 0
    with serving(max_requests=4) as service, concurrent.futures.ThreadPoolExecutor(24) as pool:
        replies = [pool.submit(asked, service.url) for _ in range(24)]
        refused = itertools.islice(concurrent.futures.as_completed(replies, timeout=60), 20)
        assert {reply.result() for reply in refused} == {503}
        library.holds_after = None
        assert [reply.result() for reply in replies].count(200) == len(library.asked) == 4
        deadline = time.monotonic() + 60
        while asked(service.url) != 200:  # a reader has the last byte a moment before the request is over
            assert time.monotonic() < deadline, "who left made no room"


def test_a_refusal_says_when_to_come_back(serving: Any, library: Any) -> None:
    library.holds_after = 0
    with serving(max_requests=1) as service, concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(asked, service.url)
        deadline = time.monotonic() + 60
        while not library.asked:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        refusal = service.http.post("/v1/chat/completions", json=QUESTION)
        assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "1")
        assert refusal.json()["error"]["code"] == "server_busy"
        assert service.http.get("/healthz").status_code == 200, "reads are let in"
        library.holds_after = None
        assert first.result() == 200


def test_a_reader_who_does_not_read_is_dropped(
    serving: Any, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = type(library).answer
    monkeypatch.setattr(
        type(library), "answer", lambda *asked: replace(plain(*asked), text="word " * 2_000_000)
    )
    body = b'{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "paid leave days"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    with serving(send_timeout_s=0.5) as service:
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            deadline = time.monotonic() + 60
            while not library.stopped_early:
                assert time.monotonic() < deadline, "it is still being written to"
                time.sleep(0.05)


def followed(lines: contextlib.ExitStack, service: Any, path: str, key: str = "") -> int:
    """The status of a GET that is read no further, and stays open with the lines."""
    host, port = service.url.removeprefix("http://").split(":")
    line = lines.enter_context(socket.create_connection((host, int(port)), timeout=60))
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    line.sendall(f"{head}{f'X-Api-Key: {key}' if key else 'Accept: */*'}\r\n\r\n".encode())
    return int(line.recv(12).split()[1])


def test_streams_are_bounded_for_one_caller_and_in_all(serving: Any, library: Any) -> None:
    job = Jobs(library.database).start(Principal(user="ann"), "default", "", {})
    with serving(max_requests=1) as service, contextlib.ExitStack() as lines:
        issue = service.accounts.issue
        _, ann = issue("ann", "default", "one", role=Role.ADMIN)
        _, other = issue("ann", "default", "two")
        follow = partial(followed, lines, service, f"/v1/jobs/{job}/events")
        assert [follow(ann) for _ in range(8)] == [200] * 8
        assert follow(ann) == follow(other) == 429, "another key of his is still his"
        for number in range(7):
            _, key = issue(f"user {number}", "default", "one", role=Role.ADMIN)
            assert {follow(key) for _ in range(8)} == {200}
        _, last = issue("last", "default", "one", role=Role.ADMIN)
        refused = service.http.get("/v1/whoami", headers={"x-api-key": last})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "server_busy"
        assert service.http.get("/healthz").status_code == 200, "probes are not counted"
        asked = service.http.post("/v1/search", json={"query": "leave"}, headers={"x-api-key": last})
        assert asked.status_code == 200, "reads hold up no question"
        lines.close()
        deadline = time.monotonic() + 60
        while service.http.get("/v1/whoami", headers={"x-api-key": last}).status_code != 200:
            assert time.monotonic() < deadline, "who left made no room"
            time.sleep(0.05)


def test_a_reader_of_a_file_who_takes_nothing_is_dropped(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(house.system.settings.server.__dict__, "send_timeout_s", 0.5)
    page = f"<p>Employees have 28 days of paid leave.</p><!-- {'x' * 76_000} -->"
    (document,) = house.live("slowly-read", leave__html=page)
    whole = len(house.http.get(f"/v1/documents/{document}/content").raise_for_status().content)
    host, port = house.url.removeprefix("http://").split(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect((host, int(port)))
        request = f"GET /v1/documents/{document}/content HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        deaf.sendall(request.encode() * ASKED)
        deadline = time.monotonic() + 60
        while not house.requests():
            assert time.monotonic() < deadline, "nobody began to answer"
        while house.requests():
            assert time.monotonic() < deadline, "it is still being written to"
            time.sleep(0.05)
        deaf.settimeout(60)
        assert received(deaf) < ASKED * whole, "the sockets held all of it, nobody was dropped"


def received(line: socket.socket) -> int:
    """The bytes that still come before the other side's end, which may be a reset."""
    size = 0
    with contextlib.suppress(ConnectionResetError):
        while piece := line.recv(1 << 20):
            size += len(piece)
    return size
