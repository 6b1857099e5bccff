"""Requests in the shapes that Open WebUI sends to a server with OpenAI's API.

From its public source (backend/open_webui: routers/openai.py, routers/tasks.py, utils/middleware.py): the
list of models; chats, streamed with usage, with its own fields beside OpenAI's; whole replies to its prompts
for a title, tags and further questions, limited by `max_completion_tokens`; vectors of lists of texts.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

HEADERS = {
    "Authorization": "Bearer none",
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Ann",
    "X-OpenWebUI-User-Id": "6f0e",
    "X-OpenWebUI-User-Email": "ann@example.org",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "b1a7",
}
OWN = {
    "chat_id": "b1a7",
    "id": "c2d8",
    "session_id": "hT3",
    "parent_id": None,
    "filter_ids": [],
    "tool_ids": ["server:1"],
    "tool_servers": [],
    "files": [{"type": "collection", "id": "k1", "name": "Handbook"}],
    "features": {"voice": False, "image_generation": False, "code_interpreter": False, "web_search": False},
    "variables": {"{{USER_NAME}}": "Ann", "{{CURRENT_DATE}}": "2026-11-21"},
    "metadata": {"user_id": "6f0e", "chat_id": "b1a7", "interface": "open-webui"},
    "background_tasks": {"title_generation": True, "tags_generation": True, "follow_up_generation": True},
    "model_item": {"id": "auto", "object": "model", "owned_by": "openai", "connection_type": "external"},
    "params": {},
}
DRAWN = {
    "temperature": 0.8,
    "top_p": 0.9,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "seed": 42,
    "stop": ["###"],
    "max_tokens": 128,
    "logit_bias": {"50256": -100},
    "reasoning_effort": "medium",
}
TURNS = [
    {"role": "system", "content": "You are helpful. Today is 2026-11-21."},
    {"role": "user", "content": "Hotels at night?"},
    {"role": "assistant", "content": "Hotels are paid up to 140 euros a night. [1]"},
    {"role": "user", "content": [{"type": "text", "text": "And how many days of paid leave?"}]},
]
HISTORY = "\n".join(
    f"{turn['role'].upper()}: {turn['content']}" for turn in TURNS[1:3] if isinstance(turn["content"], str)
)
TASKS = {
    "title_generation": '{ "title": "your concise title here" }',
    "tags_generation": '{ "tags": ["tag1", "tag2", "tag3"] }',
    "follow_up_generation": '{ "follow_ups": ["Question 1?", "Question 2?"] }',
    "query_generation": '{ "queries": ["query1", "query2"] }',
}


def events(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream, which ends as it must."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_the_list_of_models_has_the_shape_it_reads(service: Any) -> None:
    found = service.http.get("/v1/models", headers=HEADERS).json()
    assert found["object"] == "list"
    for model in found["data"]:
        assert {"id", "object", "created", "owned_by"} <= model.keys() and model["object"] == "model"


@pytest.mark.parametrize("own", [{}, OWN], ids=["plain", "with its own fields"])
def test_a_chat_is_streamed_with_text_and_usage(service: Any, own: dict[str, Any]) -> None:
    body = {"model": "handbook", "messages": TURNS, "stream": True, **DRAWN, **own}
    body["stream_options"] = {"include_usage": True}
    reply = service.http.post("/v1/chat/completions", json=body, headers=HEADERS)
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/event-stream")
    chunks = events(reply.text)
    text = "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"])
    assert text == "Employees have 28 days of paid leave a year. [1]"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 48
    assert len(service.library.asked[0]["history"]) == 2


@pytest.mark.parametrize("own", [{}, OWN], ids=["plain", "with its own fields"])
def test_a_chat_is_answered_whole(service: Any, own: dict[str, Any]) -> None:
    body = {"model": "auto", "messages": TURNS, "stream": False, **DRAWN, **own}
    reply = service.http.post("/v1/chat/completions", json=body, headers=HEADERS).json()
    assert reply["choices"][0]["message"]["content"].startswith("Employees have 28 days")
    assert reply["usage"]["total_tokens"] == 48


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_its_own_prompts_get_a_reply_that_it_can_read(service: Any, task: str, stream: bool) -> None:
    prompt = (
        "### Task:\nGenerate what is asked for from the chat history.\n"
        f"### Output:\nJSON format: {TASKS[task]}\n"
        f"### Chat History:\n<chat_history>\n{HISTORY}\n</chat_history>"
    )
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": prompt}],
        "stream": stream,
        "max_completion_tokens": 1000,
        "metadata": {"task": task, "task_body": {"model": "auto", "messages": TURNS}, "chat_id": "b1a7"},
    }
    reply = service.http.post("/v1/chat/completions", json=body, headers=HEADERS)
    assert reply.status_code == 200
    if stream:
        choices = [choice for chunk in events(reply.text) for choice in chunk["choices"]]
        assert "".join(choice["delta"].get("content") or "" for choice in choices)
    else:
        assert reply.json()["choices"][0]["message"]["content"]
    assert service.library.asked[0]["manner"].max_tokens == 1000


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_refused_with_a_message_that_it_shows(service: Any, stream: bool) -> None:
    tool = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
    body = {"model": "auto", "messages": TURNS, "stream": stream, "tools": [tool]}
    reply = service.http.post("/v1/chat/completions", json=body, headers=HEADERS)
    assert reply.status_code == 400
    assert "tools are not offered" in reply.json()["error"]["message"]


@pytest.mark.model
def test_lists_of_texts_get_their_vectors_in_order(house: Any) -> None:
    model = house.http.get("/v1/status").json()["embedder"]
    body = {"model": model, "input": ["paid leave", "hotels at night", "paid leave"]}
    found = house.http.post("/v1/embeddings", json=body, headers=HEADERS).json()
    first, second, third = (each["embedding"] for each in found["data"])
    assert first == third != second and len(first) == len(second)
    assert found["object"] == "list" and found["usage"]["total_tokens"] > 0
