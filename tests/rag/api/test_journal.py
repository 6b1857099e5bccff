from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rag.api.journal import JsonLines

SECRET = "the paid leave of Ms Canary-7731"
QUESTION = {"messages": [{"role": "user", "content": SECRET}]}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process logs, everything included."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_request_is_one_line_of_json_without_a_word_of_the_question(
    service: Any, lines: io.StringIO
) -> None:
    service.http.post("/v1/chat/completions", json=QUESTION)
    # The line is written when the response has gone out.
    deadline = time.monotonic() + 60
    while '"request"' not in lines.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "Canary" not in lines.getvalue()
    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    requests = [record for record in records if record["event"] == "request"]
    assert [(record["path"], record["status"]) for record in requests] == [("/v1/chat/completions", 200)]
    assert requests[0]["ms"] > 0


def test_a_bug_is_a_plain_500_and_its_text_stays_out_of_log_and_answer(
    service: Any, lines: io.StringIO
) -> None:
    service.library.bug = ValueError(SECRET)
    reply = service.http.post("/v1/chat/completions", json=QUESTION)
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "internal_error"
    assert reply.headers["x-request-id"] in reply.json()["error"]["message"]
    assert "Canary" not in reply.text + lines.getvalue()
    failed = next(
        record for record in map(json.loads, lines.getvalue().splitlines()) if record["event"] == "failed"
    )
    assert failed["error"] == "ValueError"
    assert any("conftest.py" in place for place in failed["where"])


def test_a_request_id_is_made_or_taken_over(service: Any) -> None:
    assert len(service.http.get("/healthz").headers["x-request-id"]) == 16
    taken = service.http.get("/healthz", headers={"x-request-id": "trace-1"})
    assert taken.headers["x-request-id"] == "trace-1"
    forged = service.http.get("/healthz", headers={"x-request-id": "a b"})
    assert forged.headers["x-request-id"] != "a b"


def test_a_path_is_logged_as_its_pattern_without_ids_and_secrets(service: Any, lines: io.StringIO) -> None:
    service.http.get("/v1/documents/canary-7731")
    service.http.get("/v1/nowhere/canary-7731")
    deadline = time.monotonic() + 60
    while lines.getvalue().count('"request"') < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    records = [record for record in told if record["logger"] == "rag.api"]
    assert "canary" not in json.dumps(records)
    paths = [record["path"] for record in records if record["event"] == "request"]
    assert paths == ["/v1/documents/{document_id}", "/v1/nowhere"]


def test_a_field_that_is_not_on_the_list_does_not_get_into_the_log(lines: io.StringIO) -> None:
    logging.getLogger("rag.api").info("request", extra={"fields": {"status": 200, "question": SECRET}})
    record = json.loads(lines.getvalue().splitlines()[-1])
    assert (record["status"], "Canary" in lines.getvalue()) == (200, False)
