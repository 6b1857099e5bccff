from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

LEAVE = "Employees have 28 days of paid leave a year. [1]"


@pytest.fixture
def openai(service: Any) -> Any:
    with OpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_every_prompt_is_answered(openai: OpenAI) -> None:
    reply = openai.completions.create(model="auto", prompt=["paid leave", "Hotels at night?"])
    assert [choice.text for choice in reply.choices] == [
        LEAVE,
        "Hotels are paid up to 140 euros a night. [1]",
    ]
    assert reply.choices[1].model_extra["rag"]["citations"][0]["title"] == "Travel"
    assert reply.usage.total_tokens == 96


def test_an_answer_is_streamed(openai: OpenAI) -> None:
    options = {"include_usage": True}
    chunks = list(
        openai.completions.create(model="small", prompt="paid leave", stream=True, stream_options=options)
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == LEAVE
    assert chunks[-2].choices[0].model_extra["rag"]["outcome"] == "quoted"
    assert chunks[-1].usage.total_tokens == 48


@pytest.mark.parametrize("prompt", ["", [], ["x"] * 17, [1, 2]])
def test_prompts_that_are_none_are_refused(openai: OpenAI, prompt: Any) -> None:
    with pytest.raises(BadRequestError):
        openai.completions.create(model="auto", prompt=prompt)


def test_an_unknown_model_is_told(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="no model 'davinci'"):
        openai.completions.create(model="davinci", prompt="leave")
