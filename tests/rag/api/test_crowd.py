from __future__ import annotations

import concurrent.futures
import socket
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "How many days of paid leave?"}]}


def asked(url: str) -> int:
    """The status of one question on a connection of its own."""
    with httpx.Client(timeout=60) as client:
        return client.post(f"{url}/v1/chat/completions", json=QUESTION).status_code


def test_of_too_many_at_once_the_rest_is_sent_away_without_work(serving: Any, library: Any) -> None:
    library.pause_s = 0.3
    with serving(max_requests=4) as service:
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            statuses = list(pool.map(asked, [service.url] * 24))
        assert set(statuses) == {200, 503}
        assert statuses.count(200) == len(library.asked) >= 4
        assert asked(service.url) == 200, "who left made room"


def test_a_refusal_says_when_to_come_back(serving: Any, library: Any) -> None:
    library.pause_s = 0.5
    with serving(max_requests=1) as service, concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(asked, service.url)
        deadline = time.monotonic() + 10
        while not library.asked:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        refusal = service.http.post("/v1/chat/completions", json=QUESTION)
        assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "1")
        assert refusal.json()["error"]["code"] == "server_busy"
        assert service.http.get("/healthz").status_code == 200, "reads are let in"
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
            deadline = time.monotonic() + 20
            while not library.stopped_early:
                assert time.monotonic() < deadline, "it is still being written to"
                time.sleep(0.05)
