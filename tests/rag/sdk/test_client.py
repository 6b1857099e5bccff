from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from rag.assistant import Delta, Final, Sources
from rag.errors import (
    BadRequest,
    DiskFull,
    Unauthorised,
    UnknownModel,
    WorkerDied,
    WorkerError,
    WorkerUnavailable,
)
from rag.sdk import Client
from rag.types import DocumentState, Message, Outcome


@pytest.fixture
def client(service: Any) -> Any:
    with Client(service.url) as client:
        yield client


def test_an_answer_over_http_equals_the_one_that_was_given(service: Any, client: Client) -> None:
    answer = client.ask("paid leave", history=[Message("user", "Hi"), Message("assistant", "Hello")])
    given = service.library.answer(answer.passages, answer.tier)
    assert replace(answer, model_sha256="") == given
    assert len(answer.model_sha256) == 64
    assert len(service.library.asked[0]["history"]) == 2


def test_a_stream_tells_sources_then_text_then_the_whole_answer(client: Client) -> None:
    events = list(client.stream("paid leave"))
    assert isinstance(events[0], Sources)
    assert isinstance(events[-1], Final)
    text = "".join(event.text for event in events if isinstance(event, Delta))
    assert text == events[-1].answer.text
    assert tuple(events[0].passages) == events[-1].answer.passages


def test_leaving_a_stream_stops_the_answer_on_the_server(service: Any, client: Client) -> None:
    service.library.holds_after = 1
    with contextlib.closing(client.stream("paid leave")) as events:
        next(events)
    deadline = time.monotonic() + 60
    while not service.library.stopped_early and time.monotonic() < deadline:
        time.sleep(0.02)
    assert service.library.stopped_early == 1


def test_passages_and_documents_come_back_as_what_they_are(client: Client) -> None:
    passage = client.search("hotels at night", limit=1)[0]
    assert passage.chunk.heading_path == ("Handbook", "Travel")
    assert [document.state for document in client.documents()] == [DocumentState.LIVE] * 3
    assert client.ask("Which submarine?").outcome is Outcome.NOT_FOUND


def test_errors_come_back_as_what_they_were(service: Any, client: Client) -> None:
    with pytest.raises(UnknownModel, match="no model 'huge'"):
        client.ask("leave", tier="huge")
    service.library.failure = DiskFull("3 MB are free")
    with pytest.raises(DiskFull, match="3 MB are free"):
        client.ask("leave")
    with pytest.raises(DiskFull, match="3 MB are free"):
        list(client.stream("leave"))
    service.library.failure, service.library.fails_after = WorkerDied("the engine process died"), 1
    with pytest.raises(WorkerDied, match="the engine process died"):
        list(client.stream("paid leave"))


def test_a_server_that_is_not_there_is_told_with_the_way_out() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(WorkerUnavailable, match="rag serve"):
        client.search("leave")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:8000", "ftp://example.org", "http://"])
def test_an_address_that_is_none_is_refused_with_the_form_of_one(address: str) -> None:
    with pytest.raises(BadRequest, match="is no address of a server; write it as http://127.0.0.1:8000"):
        Client(address)


def test_the_address_may_be_the_one_that_other_clients_want(service: Any) -> None:
    with Client(f"{service.url}/v1/") as client:
        assert client.search("leave")


def test_the_key_opens_the_door(serving: Any) -> None:
    with serving(api_key="s3cret") as service:
        with Client(service.url, "s3cret") as client:
            assert client.search("leave")
        with Client(service.url, "guess") as client, pytest.raises(Unauthorised):
            client.search("leave")


def test_a_filter_and_a_cap_travel_with_the_question(moody: Any) -> None:
    with Client(moody.url) as client:
        client.search("leave", filter="label:policy")
        with contextlib.suppress(WorkerError):
            list(client.stream("leave?", filter="language:de", max_cost=0.002, tier="small"))
    search, asked = (json.loads(body) for *_, body in moody.seen)
    assert search["filter"] == "label:policy"
    assert (asked["rag"]["filter"], asked["rag"]["max_cost"], asked["model"]) == (
        "language:de",
        0.002,
        "small",
    )
