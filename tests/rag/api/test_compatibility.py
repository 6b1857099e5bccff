"""The corners of OpenAI's API that its own client reaches: as there, or refused with what is not offered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from pydantic import BaseModel

LEAVE = "Employees have 28 days of paid leave a year. [1]"
QUESTION: Any = [{"role": "user", "content": "How many days of paid leave?"}]


class Days(BaseModel):
    """What the document would say as JSON."""

    days: int


@pytest.fixture
def openai(service: Any) -> Any:
    with OpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stop", ["###END", "\n\nQuestion:", ["a", "b", "c", "d"]])
def test_a_stop_is_one_text_of_any_length_or_up_to_four(openai: Any, service: Any, stop: Any) -> None:
    openai.chat.completions.create(model="auto", messages=QUESTION, stop=stop)
    openai.completions.create(model="auto", prompt="paid leave", stop=stop)
    wanted = (stop,) if isinstance(stop, str) else tuple(stop)
    assert [call["manner"].stop for call in service.library.asked] == [wanted, wanted]
    with pytest.raises(BadRequestError, match="stop: List should have at most 4 items"):
        openai.chat.completions.create(model="auto", messages=QUESTION, stop=list("abcde"))


@pytest.mark.parametrize(("n", "told"), [(1, 48), (2, 56)])
def test_tokens_are_told_once_to_who_adds_up_the_chunks(openai: Any, n: int, told: int) -> None:
    chunks = openai.chat.completions.create(
        model="auto", messages=QUESTION, stream=True, n=n, stream_options={"include_usage": True}
    )
    assert sum(chunk.usage.total_tokens for chunk in chunks if chunk.usage) == told
    texts = openai.completions.create(
        model="auto", prompt="paid leave", stream=True, stream_options={"include_usage": True}
    )
    assert sum(chunk.usage.total_tokens for chunk in texts if chunk.usage) == 48


def test_what_an_earlier_answer_refused_is_sent_back_with_the_next_question(
    openai: Any, service: Any
) -> None:
    no = {"type": "refusal", "refusal": "The documents do not answer this."}
    past: Any = [{"role": "user", "content": "Which submarine?"}, {"role": "assistant", "content": [no]}]
    openai.chat.completions.create(model="auto", messages=[*past, *QUESTION])
    openai.responses.create(model="auto", input=[*past, *QUESTION])
    for call in service.library.asked:
        assert [turn.content for turn in call["history"]] == ["Which submarine?", no["refusal"]]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"tool_choice": "required"}, "tool_choice: Input should be 'none' or 'auto'"),
        ({"modalities": ["text", "audio"]}, "modalities.1: Input should be 'text'"),
        ({"web_search_options": {}}, "web_search_options: this is not offered here; leave it out"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "messages.0.content.0: Input tag 'input_audio' .* 'text', 'refusal'",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "3"}]}, "messages.0.role: Input"),
        ({"tools": [{"type": "function"}]}, "tools: tools are not offered"),
    ],
)
def test_a_wish_of_a_chat_that_is_not_offered_is_named(
    openai: Any, wish: dict[str, Any], problem: str
) -> None:
    with pytest.raises(BadRequestError, match=problem) as refusal:
        openai.chat.completions.create(**{"model": "auto", "messages": QUESTION, **wish})
    assert refusal.value.param == problem.split(":")[0]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"logprobs": 2}, "logprobs: this is not offered here"),
        ({"suffix": "!"}, "suffix: this is not offered here"),
        ({"best_of": 3}, "best_of: Input should be less than or equal to 1"),
        ({"prompt": [1, 2]}, "prompt.0: Input should be a valid string"),
    ],
)
def test_a_wish_of_a_completion_that_is_not_offered_is_named(
    openai: Any, wish: dict[str, Any], problem: str
) -> None:
    with pytest.raises(BadRequestError, match=problem):
        openai.completions.create(**{"model": "auto", "prompt": "paid leave", **wish})


def test_null_is_as_if_it_were_left_out(service: Any) -> None:
    empty = {"stream": None, "stop": None, "best_of": None, "logprobs": None, "rag": None}
    reply = service.http.post("/v1/completions", json={"prompt": "paid leave", **empty})
    assert reply.json()["choices"][0]["text"] == LEAVE
    empty = {"stream": None, "tool_choice": None, "modalities": None, "web_search_options": None}
    reply = service.http.post("/v1/chat/completions", json={"messages": QUESTION, **empty})
    assert reply.json()["choices"][0]["message"]["content"] == LEAVE


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id: this is not offered here"),
        ({"conversation": "conv_1"}, "conversation: this is not offered here"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt: this is not offered here"),
        ({"background": True}, "background: Input should be False"),
        ({"background": 0}, "background: should be true or false"),
        ({"tool_choice": "required"}, "tool_choice: Input should be 'none' or 'auto'"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input.0.content.0: Input tag 'input_image'",
        ),
        ({"input": [{"type": "function_call_output", "call_id": "a", "output": "3"}]}, "input.0.role: Field"),
        ({"input": []}, "input: List should have at least 1 item"),
    ],
)
def test_a_wish_of_a_response_that_is_not_offered_is_named(
    openai: Any, wish: dict[str, Any], problem: str
) -> None:
    with pytest.raises(BadRequestError, match=problem):
        openai.responses.create(**{"model": "auto", "input": "paid leave", **wish})


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([], "input: List should have at least 1 item"),
        (["x"] * 257, "input: List should have at most 256 items"),
        ([[1, 2]], "input.0: Input should be a valid string"),
    ],
)
def test_texts_that_cannot_be_embedded_are_told_by_their_list(openai: Any, texts: Any, problem: str) -> None:
    with pytest.raises(BadRequestError, match=problem):
        openai.embeddings.create(model="all-minilm-l6-v2", input=texts)


def test_a_response_that_ran_out_of_tokens_is_incomplete(openai: Any, service: Any, monkeypatch: Any) -> None:
    plain = type(service.library).answer
    monkeypatch.setattr(
        type(service.library), "answer", lambda *given: replace(plain(*given), finish="length")
    )
    reply = openai.responses.create(model="auto", input="paid leave", max_output_tokens=16)
    assert (reply.status, reply.output[0].status) == ("incomplete", "incomplete")
    assert reply.incomplete_details and reply.incomplete_details.reason == "max_output_tokens"
    *_, last = openai.responses.create(model="auto", input="paid leave", stream=True)
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")


def test_a_sentence_in_place_of_json_is_a_refusal_of_a_response(openai: Any) -> None:
    reply = openai.responses.parse(model="auto", input="Which submarine?", text_format=Days)
    assert reply.output_parsed is None and reply.output[0].content[0].type == "refusal"
    with openai.responses.stream(model="auto", input="Which submarine?", text_format=Days) as stream:
        kinds = [event.type for event in stream]
        told = stream.get_final_response().output[0].content[0]
    assert "response.refusal.done" in kinds and "response.output_text.delta" not in kinds
    assert told.type == "refusal" and told.refusal.startswith("The documents")
