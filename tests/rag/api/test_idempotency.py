"""Requests that are sent again, through the whole stack of layers and a real database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.accounts.accounts import Accounts
from rag.errors import WorkerDied
from rag.store.revocation import FOLDER, revoke_kv
from tests.rag.conftest import SmallLibrary
from tests.rag.conversations.conftest import OpenLibrary

QUESTION = {"messages": [{"role": "user", "content": "How many days of paid leave?"}]}
STREAMED = {**QUESTION, "stream": True}


@pytest.fixture
def library(library: SmallLibrary) -> Iterator[SmallLibrary]:
    yield OpenLibrary(database=library.database)


def post(service: Any, body: Any, key: str, path: str = "/v1/chat/completions") -> httpx.Response:
    reply: httpx.Response = service.http.post(path, json=body, headers={"Idempotency-Key": key})
    return reply


@pytest.mark.parametrize("body", [QUESTION, STREAMED])
def test_the_same_request_gets_the_same_bytes_and_the_work_is_done_once(service: Any, body: Any) -> None:
    first, second = post(service, body, "key-1"), post(service, body, "key-1")
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert first.headers["content-type"] == second.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(service.library.asked) == 1


def test_without_the_header_or_with_another_key_or_path_the_work_is_done_again(service: Any) -> None:
    post(service, QUESTION, "key-1")
    post(service, QUESTION, "key-2")
    service.http.post("/v1/chat/completions", json=QUESTION)
    service.http.post("/v1/chat/completions?x=1", json=QUESTION, headers={"Idempotency-Key": "key-1"})
    assert len(service.library.asked) == 4


def test_another_body_under_the_same_key_is_told(service: Any) -> None:
    post(service, QUESTION, "key-1")
    reply = post(service, STREAMED, "key-1")
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "ü".encode()])
def test_a_key_that_is_none_is_refused(service: Any, key: Any) -> None:
    reply = service.http.post("/v1/chat/completions", json=QUESTION, headers={b"Idempotency-Key": key})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")


def test_a_request_still_being_answered_is_not_begun_twice(service: Any) -> None:
    service.library.holds_after = 1
    replies: list[httpx.Response] = []
    first = threading.Thread(target=lambda: replies.append(post(service, QUESTION, "key-1")))
    first.start()
    while not service.library.asked:
        time.sleep(0.005)
    meanwhile = post(service, QUESTION, "key-1")
    service.library.holds_after = None
    first.join()
    assert (meanwhile.status_code, meanwhile.json()["error"]["code"]) == (409, "idempotency_in_progress")
    assert post(service, QUESTION, "key-1").content == replies[0].content
    assert len(service.library.asked) == 1


@pytest.mark.parametrize(("body", "after"), [(QUESTION, 0), (STREAMED, 2)])
def test_a_failure_is_not_kept_neither_before_nor_within_a_stream(
    service: Any, body: Any, after: int
) -> None:
    service.library.failure, service.library.fails_after = WorkerDied("the engine process died"), after
    assert "the engine process died" in post(service, body, "key-1").text
    service.library.failure = None
    assert "28 days" in post(service, body, "key-1").text
    assert len(service.library.asked) == 2


def test_a_caller_who_goes_away_leaves_the_key_free(service: Any) -> None:
    service.library.holds_after = 1
    with service.http.stream(
        "POST", "/v1/chat/completions", json=STREAMED, headers={"Idempotency-Key": "key-1"}
    ) as reply:
        next(reply.iter_lines())
    deadline = time.monotonic() + 60
    while not service.library.stopped_early:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    service.library.holds_after = None
    while (reply := post(service, STREAMED, "key-1")).status_code == 409:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert reply.status_code == 200 and "idempotency-replayed" not in reply.headers


def test_after_a_removal_the_work_is_done_anew(service: Any, tmp_path: Path) -> None:
    post(service, QUESTION, "key-1")
    revoke_kv(tmp_path)
    assert (tmp_path / FOLDER).exists()
    assert "idempotency-replayed" not in post(service, QUESTION, "key-1").headers
    assert post(service, QUESTION, "key-1").headers["idempotency-replayed"] == "true"
    assert len(service.library.asked) == 2


def test_a_conversation_is_begun_once(service: Any) -> None:
    made = [post(service, {"title": "Trip"}, "key-1", "/v1/conversations") for _ in range(2)]
    assert [each.status_code for each in made] == [201, 201]
    assert made[0].json() == made[1].json()
    assert len(service.http.get("/v1/conversations").json()["conversations"]) == 1


def test_one_caller_does_not_get_what_another_was_told(serving: Any, tmp_path: Path) -> None:
    with serving() as service:
        accounts = Accounts(service.library.database, tmp_path)
        shown = [accounts.issue(name, "default", "key", groups=("everyone",))[1] for name in ("ann", "bob")]
        for key in (shown[0], shown[1], shown[0]):
            headers = {"Idempotency-Key": "same", "Authorization": f"Bearer {key}"}
            reply = service.http.post("/v1/chat/completions", json=QUESTION, headers=headers)
            assert reply.status_code == 200
        assert reply.headers["idempotency-replayed"] == "true"
        assert len(service.library.asked) == 2


@pytest.mark.parametrize("body", [QUESTION, STREAMED])
def test_a_question_sent_again_stands_once_in_its_conversation(service: Any, body: Any) -> None:
    for _ in range(2):
        assert post(service, {**body, "rag": {"conversation": "new"}}, "key-1").status_code == 200
    (kept,) = service.http.get("/v1/conversations").json()["conversations"]
    assert len(service.http.get(f"/v1/conversations/{kept['id']}").json()["messages"]) == 2
