from __future__ import annotations

import json
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from rag.errors import WorkerDied
from rag.types import Message

LEAVE = "Employees have 28 days of paid leave a year. [1]"


@pytest.fixture
def openai(service: Any) -> Any:
    with OpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_a_message_with_its_sources_as_annotations(openai: OpenAI) -> None:
    reply = openai.responses.create(model="auto", input="How many days of paid leave?")
    assert (reply.status, reply.output_text) == ("completed", LEAVE)
    (annotation,) = reply.output[0].content[0].annotations
    assert (annotation.file_id, annotation.filename) == ("document-Leave", "Leave")
    assert LEAVE[annotation.index :] == "[1]"
    assert reply.usage.total_tokens == 48 and reply.model_extra["rag"]["outcome"] == "quoted"


def test_earlier_turns_are_history(openai: OpenAI, service: Any) -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Paid leave?"}]},
    ]
    reply = openai.responses.create(model="auto", input=turns, instructions="Be rude.", max_output_tokens=9)
    call = service.library.asked[0]
    assert call["history"] == (Message("user", "Hello"), Message("assistant", "Hi."))
    assert call["manner"].max_tokens == 9
    assert reply.model_extra["rag"]["ignored"] == ["instructions"]


def test_the_openai_client_follows_the_stream(openai: OpenAI) -> None:
    with openai.responses.stream(model="auto", input="paid leave") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == LEAVE and final.output[0].content[0].annotations
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"


def test_an_error_in_the_middle_reaches_the_client(openai: OpenAI, service: Any) -> None:
    service.library.failure, service.library.fails_after = WorkerDied("the engine process died"), 2
    *_, last = openai.responses.create(model="auto", input="paid leave", stream=True)
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert last.response.error.message == "the engine process died"


@pytest.mark.parametrize(
    "wish", [{"tools": [{"type": "web_search"}]}, {"previous_response_id": "resp_1"}, {"input": []}]
)
def test_what_is_not_offered_is_refused(openai: OpenAI, wish: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        openai.responses.create(**{"model": "auto", "input": "leave", **wish})


def test_the_schema_of_its_format_holds_the_answer(openai: OpenAI, service: Any) -> None:
    schema = {"type": "object", "properties": {"days": {"type": "integer"}}}
    form = {"type": "json_schema", "name": "leave", "schema": schema, "strict": True}
    openai.responses.create(model="auto", input="paid leave", text={"format": form})
    openai.responses.create(model="auto", input="paid leave", text={"format": {"type": "json_object"}})
    openai.responses.create(model="auto", input="paid leave", text={"format": {"type": "text"}})
    assert [call["manner"].schema for call in service.library.asked] == [json.dumps(schema), "{}", ""]


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"type": "json_schema", "name": "leave"}, "needs the field schema"),
        ({"type": "xml"}, "Input should be 'text'"),
        ({"type": "json_schema", "schema": 5}, "valid dictionary"),
        ({"C": -229, "type": 3}, "Input should be 'text'"),
    ],
)
def test_a_format_that_is_none_is_refused_by_name(openai: OpenAI, form: Any, problem: str) -> None:
    with pytest.raises(BadRequestError, match=problem) as refusal:
        openai.responses.create(model="auto", input="paid leave", text={"format": form})
    assert refusal.value.param.startswith("text.format")


def test_fields_that_a_format_does_not_have_change_nothing(openai: OpenAI) -> None:
    reply = openai.responses.create(model="auto", input="paid leave", text={"format": {"C": -229}})
    assert reply.output_text == LEAVE
