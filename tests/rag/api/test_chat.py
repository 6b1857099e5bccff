from __future__ import annotations

import json
import socket
import time
from typing import Any

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
    service.http.post("/v1/chat/completions", json=ask("leave", model="handbook:small")).raise_for_status()
    service.http.post(
        "/v1/chat/completions", json=ask("leave", rag={"collection": "handbook"})
    ).raise_for_status()
    assert [(call["tier"], call["collection"]) for call in service.library.asked] == [
        (Tier.SMALL, "handbook"),
        (None, "handbook"),
    ]


def test_the_models_are_the_tiers_and_their_collections(openai: OpenAI) -> None:
    names = [model.id for model in openai.models.list()]
    assert names == ["auto", "extract", "small", "handbook", "handbook:extract", "handbook:small"]


def test_earlier_turns_are_history_and_system_messages_are_not(service: Any) -> None:
    turns = [
        {"role": "system", "content": "Answer without documents."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Paid leave?"},
    ]
    reply = service.http.post("/v1/chat/completions", json={"messages": turns}).json()
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
        ("n", 5),
        ("tools", [{"type": "function"}]),
        ("response_format", {"type": "json_schema"}),
        ("messages", []),
        ("stop", ["", "x"]),
        ("seed", 2**63),
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
    service.library.holds_after = 1
    deadline = time.monotonic() + 60
    body = json.dumps(ask("paid leave", stream=stream))
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection((service.http.base_url.host, service.http.base_url.port)) as line:
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        while not service.library.asked and time.monotonic() < deadline:
            time.sleep(0.02)
    while not service.library.stopped_early and time.monotonic() < deadline:
        time.sleep(0.02)
    assert service.library.stopped_early == 1


def test_wishes_are_passed_on_and_nothing_is_said_to_be_ignored(openai: OpenAI, service: Any) -> None:
    wishes = {
        "max_tokens": 7,
        "temperature": 0.4,
        "top_p": 0.9,
        "seed": -1,
        "stop": "x",
        "logit_bias": {"5": -3},
    }
    extra = {"rag": {"reuse": "off", "filter": "label:policy", "replayable": True, "priority": "batch"}}
    reply = openai.chat.completions.create(**ask("paid leave", **wishes), extra_body=extra)
    assert reply.model_extra["rag"]["ignored"] == []
    call = service.library.asked[0]
    manner = call["manner"]
    assert (manner.max_tokens, manner.temperature, manner.top_p, manner.stop) == (7, 0.4, 0.9, ("x",))
    assert (manner.seed, manner.logit_bias, manner.replayable) == (2**63 - 1, ((5, -3.0),), True)
    assert (manner.reuse, manner.priority, call["only"].labels) == ("off", "batch", ("policy",))


def test_several_answers_are_drawn_with_seeds_of_their_own(openai: OpenAI, service: Any) -> None:
    reply = openai.chat.completions.create(**ask("paid leave", n=3, seed=4, temperature=1))
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert sorted(call["manner"].seed for call in service.library.asked) == [4, 5, 6]
    # One prompt, three answers.
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (40, 24)
    assert all(choice.model_extra["rag"]["citations"] for choice in reply.choices)


def test_several_answers_are_streamed_side_by_side(openai: OpenAI) -> None:
    texts: dict[int, str] = {}
    for chunk in openai.chat.completions.create(**ask("paid leave", n=2, stream=True)):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == dict.fromkeys((0, 1), "Employees have 28 days of paid leave a year. [1]")


@pytest.mark.parametrize("stream", [False, True])
def test_probabilities_are_told_where_they_are_asked_for(openai: OpenAI, stream: bool) -> None:
    reply: Any = openai.chat.completions.create(
        **ask("paid leave", logprobs=True, top_logprobs=2, stream=stream)
    )
    parts = [choice for chunk in reply for choice in chunk.choices] if stream else reply.choices
    told = [token for part in parts if part.logprobs for token in part.logprobs.content]
    assert [token.token for token in told][:2] == ["Employees ", "have "]
    assert told[0].logprob == -0.5 and [top.token for top in told[0].top_logprobs] == ["Employees ", "b"]


@pytest.mark.parametrize("stream", [False, True])
def test_json_is_content_and_what_is_none_is_a_refusal(openai: OpenAI, stream: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "leave", "schema": {"type": "object"}}}
    for question, content in (("paid leave", '{"text": "Employees"}'), ("Which submarine?", None)):
        reply: Any = openai.chat.completions.create(**ask(question, response_format=form, stream=stream))
        if stream:
            deltas = [choice.delta for chunk in reply for choice in chunk.choices]
            said = "".join(delta.content or "" for delta in deltas) or None
            refusal = next((delta.refusal for delta in deltas if delta.refusal), None)
        else:
            said, refusal = reply.choices[0].message.content, reply.choices[0].message.refusal
        assert said == content
        assert (refusal is None) is (content is not None)


def test_named_events_are_sent_to_who_asks_for_them(service: Any) -> None:
    body = ask("paid leave", stream=True, rag={"events": "typed"})
    text = service.http.post("/v1/chat/completions", json=body).text
    events = [part.split("\n", 1) for part in text.split("\n\n") if part.startswith("event: ")]
    names = [name.removeprefix("event: ") for name, _ in events]
    assert names[0] == "sources" and names[-1] == "final"
    assert names.index("citation") == names.index("final") - 2, "right before the words that name it"
    said = [json.loads(data.removeprefix("data: ")) for _, data in events]
    words = "".join(each["text"] for name, each in zip(names, said, strict=True) if name == "delta")
    whole = service.http.post("/v1/chat/completions", json=ask("paid leave")).json()
    assert said[-1]["choices"][0]["message"]["content"] == words == whole["choices"][0]["message"]["content"]
    assert said[-1]["rag"]["citations"] == whole["rag"]["citations"]


def test_the_last_chunk_tells_tokens_also_unasked(openai: OpenAI) -> None:
    *_, last = openai.chat.completions.create(**ask("paid leave", stream=True))
    assert last.choices[0].finish_reason == "stop" and last.usage.total_tokens == 48


def test_one_model_can_be_looked_up(openai: OpenAI) -> None:
    assert openai.models.retrieve("handbook:small").id == "handbook:small"
    with pytest.raises(NotFoundError):
        openai.models.retrieve("other")


@pytest.mark.parametrize("name", ["handbook:large", "other:small", ":small", "auto:small", "small:handbook"])
def test_names_that_are_put_together_wrongly_are_unknown(openai: OpenAI, name: str) -> None:
    with pytest.raises(NotFoundError):
        openai.chat.completions.create(**ask("leave", model=name))
