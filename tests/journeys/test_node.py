"""OpenAI's own client for Node against a real `rag serve`: installed by npm for as long as the tests last."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")), reason="no Node: install node and npm"
    ),
]
LEAVE = "How many days of paid leave do employees have?"
OPENING = """
import OpenAI from "openai"
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "any", maxRetries: 0 })
const question = %s
const asked = { messages: [{ role: "user", content: question }] }
const tell = (found) => console.log(JSON.stringify(found))
"""
Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `openai` can be imported."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            ["npm", "install", "openai", *quiet], cwd=folder, capture_output=True, text=True, timeout=180
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install openai within three minutes")
    if done.returncode:
        pytest.skip(f"npm cannot install openai here: {done.stderr.strip()[-300:]}")
    return folder


@pytest.fixture
def run(modules: Path, server: Any) -> Run:
    """Run a piece of JavaScript with a `client`; what it tells."""

    def run(script: str) -> Any:
        file = modules / "script.js"
        file.write_text(OPENING % json.dumps(LEAVE) + script)
        done = subprocess.run(
            ["node", file.name, server.url], cwd=modules, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_models_are_listed_and_one_is_looked_up(run: Run) -> None:
    names, one = run("""
        const names = []
        for await (const model of client.models.list()) names.push(model.id)
        tell([names, await client.models.retrieve("default:small")])
    """)
    assert {"auto", "extract", "small", "default", "default:small"} <= set(names)
    assert (one["id"], one["object"]) == ("default:small", "model")


def test_an_answer_comes_whole_with_its_citations(run: Run) -> None:
    reply = run(
        'tell(await client.chat.completions.create({ ...asked, model: "auto", max_completion_tokens: 64 }))'
    )
    assert "28 days" in reply["choices"][0]["message"]["content"]
    assert any("28 days" in each["quote"] for each in reply["rag"]["citations"])
    assert reply["usage"]["total_tokens"] >= 0 and reply["rag"]["cost"]["amount"] > 0


def test_an_answer_is_streamed_with_usage_in_the_last_chunk(run: Run) -> None:
    chunks = run("""
        const stream = await client.chat.completions.create({
            ...asked, model: "small", stream: true, stream_options: { include_usage: true },
        })
        const chunks = []
        for await (const chunk of stream) chunks.push(chunk)
        tell(chunks)
    """)
    text = "".join(choice["delta"].get("content") or "" for each in chunks for choice in each["choices"])
    assert "28 days" in text
    assert chunks[-1]["choices"] == [] and "total_tokens" in chunks[-1]["usage"]
    assert chunks[-2]["choices"][0]["finish_reason"] in ("stop", "length")
    assert chunks[-2]["rag"]["tier"] == "small"


def test_the_helper_for_streams_puts_the_same_answer_together(run: Run) -> None:
    final, whole = run("""
        const stream = client.chat.completions.stream({ ...asked, model: "extract" })
        const final = await stream.finalContent()
        const whole = await client.chat.completions.create({ ...asked, model: "extract" })
        tell([final, whole.choices[0].message.content])
    """)
    assert final == whole and "28 days" in final


def test_a_stream_that_is_left_early_leaves_the_server_well(run: Run) -> None:
    words = run("""
        const stream = await client.chat.completions.create({ ...asked, model: "small", stream: true })
        for await (const chunk of stream) { stream.controller.abort(); break }
        tell((await client.chat.completions.create({ ...asked, model: "extract" })).choices.length)
    """)
    assert words == 1


def test_the_responses_endpoint_answers_whole_and_streamed(run: Run) -> None:
    text, streamed = run("""
        const said = { model: "extract", input: question }
        const reply = await client.responses.create(said)
        let streamed = ""
        for await (const event of await client.responses.create({ ...said, stream: true }))
            if (event.type === "response.output_text.delta") streamed += event.delta
        tell([reply.output_text, streamed])
    """)
    assert text == streamed and "28 days" in text


def test_texts_become_vectors_as_numbers_whatever_is_sent(run: Run) -> None:
    vectors = run("""
        const input = ["paid leave", "hotels at night"]
        const found = []
        for (const form of [undefined, "float", "base64"]) {
            const wanted = { model: "all-minilm-l6-v2", input, encoding_format: form }
            const reply = await client.embeddings.create(wanted)
            found.push(reply.data.map((each) => each.embedding))
        }
        tell(found)
    """)
    unset, numbers, _base64 = vectors
    assert len(unset) == len(numbers) == 2
    assert sum(each * each for each in numbers[0]) == pytest.approx(1, abs=1e-3)
    assert unset[1] == pytest.approx(numbers[1], abs=1e-6), "the client asks for base64 unless told otherwise"


@pytest.mark.parametrize(
    ("call", "kind", "status", "code"),
    [
        (
            'client.chat.completions.create({ ...asked, model: "gpt-9" })',
            "NotFoundError",
            404,
            "model_not_found",
        ),
        (
            'client.chat.completions.create({ model: "auto", messages: [] })',
            "BadRequestError",
            400,
            "invalid_request",
        ),
        ('client.models.retrieve("other")', "NotFoundError", 404, "model_not_found"),
        (
            'client.embeddings.create({ model: "other", input: "paid leave" })',
            "NotFoundError",
            404,
            "model_not_found",
        ),
    ],
)
def test_errors_are_those_of_the_client(run: Run, call: str, kind: str, status: int, code: str) -> None:
    told = run(f"""
        try {{ await {call}; tell({{}}) }}
        catch (error) {{
            const {{ status, code, message }} = error
            tell({{ kind: error.constructor.name, status, code, message }})
        }}
    """)
    assert (told["kind"], told["status"], told["code"]) == (kind, status, code)
    assert told["message"]
