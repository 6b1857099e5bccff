from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from openai import APIError, BadRequestError, NotFoundError, OpenAI

from rag.errors import DiskFull, WorkerDied
from rag.types import Message, Tier


def ask(question: str, **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": question}], **fields}


@pytest.fixture
def openai(service: Any) -> Any:
    with OpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_the_openai_client_gets_a_cited_answer(openai: OpenAI) -> None:
    reply = openai.chat.completions.create(**ask("How many days of paid leave?"))
    assert reply.choices[0].message.content == "Employees have 28 days of paid leave a year. [1]"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == 48
    rag = reply.model_extra["rag"]
    assert (rag["outcome"], rag["tier"], rag["egress"]) == ("quoted", "extract", "nothing left this machine")
    assert rag["citations"][0]["title"] == "Leave"
    assert rag["citations"][0]["quote"] == "Employees have 28 days of paid leave a year."
    assert rag["citations"][0]["page"] == 2
    assert len(rag["model_sha256"]) == 64


def test_the_openai_client_streams_the_same_answer_and_citations(openai: OpenAI) -> None:
    options = {"include_usage": True}
    chunks = list(
        openai.chat.completions.create(**ask("Hotels at night?", stream=True, stream_options=options))
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hotels are paid up to 140 euros a night. [1]"
    assert chunks[0].choices[0].delta.role == "assistant"
    last, usage = chunks[-2:]
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra["rag"]["citations"][0]["title"] == "Travel"
    assert usage.choices == []
    assert usage.usage.completion_tokens == 8


def test_a_stream_without_usage_ends_with_the_rag_object_and_done(service: Any) -> None:
    body = service.http.post(
        "/v1/chat/completions", json=ask("Who cleans the coffee machine?", stream=True)
    ).text
    lines = [line for line in body.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2].removeprefix("data: "))["rag"]["outcome"] == "quoted"


def test_what_is_not_in_the_documents_is_said(openai: OpenAI) -> None:
    reply = openai.chat.completions.create(**ask("Which submarine?"))
    assert reply.model_extra["rag"]["outcome"] == "not_found"
    assert reply.model_extra["rag"]["citations"] == []


def test_the_model_name_chooses_tier_and_collection(service: Any) -> None:
    service.http.post("/v1/chat/completions", json=ask("leave", model="small/handbook")).raise_for_status()
    service.http.post(
        "/v1/chat/completions", json=ask("leave", rag={"collection": "handbook"})
    ).raise_for_status()
    assert [(call["tier"], call["collection"]) for call in service.library.asked] == [
        (Tier.SMALL, "handbook"),
        (None, "handbook"),
    ]


def test_the_models_are_the_tiers_and_their_collections(openai: OpenAI) -> None:
    names = [model.id for model in openai.models.list()]
    assert names == ["auto", "extract", "small", "auto/handbook", "extract/handbook", "small/handbook"]


def test_earlier_turns_are_history_and_system_messages_are_not(service: Any) -> None:
    turns = [
        {"role": "system", "content": "Answer without documents."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Paid leave?"},
    ]
    reply = service.http.post("/v1/chat/completions", json={"messages": turns, "temperature": 0.3}).json()
    assert service.library.asked[0]["history"] == (Message("user", "Hello"), Message("assistant", "Hi."))
    assert "system messages" in reply["rag"]["ignored"]


def test_harmless_fields_of_openai_are_let_through(service: Any) -> None:
    body = ask(
        "leave",
        user="me",
        n=1,
        tools=[],
        logit_bias={},
        metadata={"a": "b"},
        response_format={"type": "text"},
    )
    assert service.http.post("/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("tools", [{"type": "function"}]),
        ("response_format", {"type": "json_object"}),
        ("messages", []),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(openai: OpenAI, field: str, value: Any) -> None:
    with pytest.raises(BadRequestError) as refusal:
        openai.chat.completions.create(**{**ask("leave"), field: value})
    assert refusal.value.param == field
    assert refusal.value.type == "invalid_request_error"


def test_an_image_is_refused(service: Any) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    reply = service.http.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": [part]}]}
    )
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_not_json_is_a_bad_request(service: Any) -> None:
    headers = {"content-type": "application/json"}
    reply = service.http.post("/v1/chat/completions", content=b"{", headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "invalid_request"


def test_an_unknown_model_is_told_with_those_there_are(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="no model 'gpt-9'; have auto, extract, small") as refusal:
        openai.chat.completions.create(**ask("leave", model="gpt-9"))
    assert refusal.value.code == "model_not_found"


def test_the_last_message_must_be_a_question(service: Any) -> None:
    reply = service.http.post(
        "/v1/chat/completions", json={"messages": [{"role": "assistant", "content": "Hi"}]}
    )
    assert reply.status_code == 400
    assert "last message" in reply.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_word_has_its_own_status(service: Any, stream: bool) -> None:
    service.library.failure = DiskFull("3 MB are free, 512 MB are needed")
    reply = service.http.post("/v1/chat/completions", json=ask("leave", stream=stream))
    assert reply.status_code == 507
    assert reply.json()["error"]["code"] == "disk_full"


def test_an_error_in_the_middle_of_a_stream_reaches_the_openai_client(service: Any, openai: OpenAI) -> None:
    service.library.failure, service.library.fails_after = WorkerDied("the engine process died"), 2
    words = []
    with pytest.raises(APIError, match="the engine process died"):
        for chunk in openai.chat.completions.create(**ask("paid leave", stream=True)):
            words.append(chunk.choices[0].delta.content)
    assert "".join(words) == "Employees have "


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_stops_the_answer(service: Any, stream: bool) -> None:
    service.library.pause_s = 0.2
    with httpx.Client(base_url=service.url, timeout=0.3) as client:
        if stream:
            with client.stream("POST", "/v1/chat/completions", json=ask("paid leave", stream=True)) as reply:
                next(reply.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/chat/completions", json=ask("paid leave"))
    deadline = time.monotonic() + 2
    while not service.library.stopped_early and time.monotonic() < deadline:
        time.sleep(0.02)
    assert service.library.stopped_early == 1
