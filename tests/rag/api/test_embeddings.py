from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from rag.api.embeddings import counter_of

pytestmark = pytest.mark.model


@pytest.fixture
def openai(house: Any) -> Any:
    with OpenAI(base_url=f"{house.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def read(vector: Any) -> Any:
    return np.frombuffer(base64.b64decode(vector), "<f4") if isinstance(vector, str) else np.asarray(vector)


@pytest.mark.parametrize("form", ["float", "base64"])
def test_texts_become_vectors_of_unit_length(openai: OpenAI, form: Any) -> None:
    texts = ["Employees have 28 days of leave.", "How much holiday is there?", "The pump leaks oil."]
    reply = openai.embeddings.create(model="all-minilm-l6-v2", input=texts, encoding_format=form)
    leave, holiday, pump = (read(each.embedding) for each in reply.data)
    assert np.linalg.norm(leave) == pytest.approx(1, abs=1e-3)
    assert leave @ holiday > leave @ pump
    assert reply.usage.total_tokens == 18


def test_the_index_has_the_same_vectors(house: Any, openai: OpenAI) -> None:
    reply = openai.embeddings.create(
        model="all-minilm-l6-v2", input="paid leave", extra_body={"input_type": "query"}
    )
    (ours,) = house.loop.run(house.system.vectors.embed(["paid leave"], side="query"))
    assert reply.data[0].embedding == pytest.approx(ours, abs=1e-6)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"model": "text-embedding-3-small"}, NotFoundError),
        ({"input": ""}, BadRequestError),
        ({"input": "word " * 400}, BadRequestError),
        ({"dimensions": 100}, BadRequestError),
        ({"input": [[1, 2]]}, BadRequestError),
    ],
)
def test_what_cannot_be_embedded_is_refused(openai: OpenAI, wish: dict[str, Any], error: Any) -> None:
    with pytest.raises(error):
        openai.embeddings.create(**{"model": "all-minilm-l6-v2", "input": "leave", **wish})


def test_the_prompt_of_a_model_counts_with_the_text(tmp_path: Any) -> None:
    bare, prompted = (counter_of("all-minilm-l6-v2", tmp_path, prompt).budget for prompt in ("", "passage: "))
    assert bare - prompted == 2
