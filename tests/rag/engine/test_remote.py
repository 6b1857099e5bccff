"""A generator elsewhere: over real HTTP, from a small server that speaks the protocol and can fail."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from rag.engine.address import Address
from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Reuse, Sampling, Terms
from rag.engine.prompt import Piece, render
from rag.engine.remote import RemoteGenerator, told
from rag.errors import (
    BadRequest,
    ContextTooLong,
    Overloaded,
    RagError,
    SettingsError,
    WorkerDied,
    WorkerError,
    WorkerUnavailable,
)
from rag.models.lockfile import entry, locate
from rag.models.templates import families
from rag.types import Message, Usage

PROMPT = [Piece("<|im_start|>user\n", True), Piece("hello", False), Piece("<|im_end|>\n", True)]
PLAIN = Sampling()
WORDS = ["One", " two", " thrée"]
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}


class Server:
    """What it was asked, and how it shall answer next."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.statuses: list[tuple[int, dict[str, Any]]] = []
        self.lines = answer(WORDS)
        self.llama_server = True
        self.listed = Response('{"data": [{"id": "big"}]}', media_type="application/json")
        self.about: Response | None = None
        self.pause_s = 0.0
        self.closed = threading.Event()
        self.app = FastAPI()
        self.app.post("/v1/completions")(self.complete)
        self.app.get("/v1/models")(self.models)
        self.app.get("/props")(self.props)
        self.app.post("/tokenize")(self.tokenize)

    async def complete(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        if self.statuses:
            status, content = self.statuses.pop(0)
            return JSONResponse(content, status)
        return StreamingResponse(self.stream(), media_type="text/event-stream")

    async def stream(self) -> AsyncIterator[str]:
        try:
            for line in self.lines:
                if line == "break off":
                    raise ConnectionError("the server dies here")
                yield line
                await asyncio.sleep(self.pause_s)
        except asyncio.CancelledError:
            self.closed.set()
            raise

    async def models(self) -> Response:
        return self.listed

    async def props(self) -> Response:
        facts = {"default_generation_settings": {"n_ctx": 4096}, "build_info": "b1"}
        known = JSONResponse(facts) if self.llama_server else Response(status_code=404)
        return self.about or known

    async def tokenize(self, request: Request) -> Response:
        body = await request.json()
        assert body["parse_special"] is False
        tokens = body["content"].split()
        return JSONResponse({"tokens": tokens}) if self.llama_server else Response(status_code=404)


def answer(words: list[str], reason: str = "stop") -> list[str]:
    texts = [{"choices": [{"text": word, "finish_reason": None}]} for word in words]
    last = [{"choices": [{"text": "", "finish_reason": reason}]}, {"choices": [], "usage": USAGE}]
    return [
        ": a comment\n\n",
        *(f"data: {json.dumps(chunk)}\n\n" for chunk in texts + last),
        "data: [DONE]\n\n",
    ]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    config = uvicorn.Config(server.app, port=0, log_level="critical", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join()


def asked(
    url: str, sampling: Sampling = PLAIN, terms: Terms = SHARED_WITH_NOBODY, **options: Any
) -> list[Delta | Finished]:
    async def ask(remote: RemoteGenerator) -> list[Delta | Finished]:
        return [event async for event in remote.stream(PROMPT, sampling, terms)]

    return within(url, ask, **options)


def within(url: str, story: Callable[[RemoteGenerator], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    async def run() -> Any:
        remote = RemoteGenerator(options.pop("address", None) or Address(url), **options)
        try:
            return await story(remote)
        finally:
            await remote.close()

    return asyncio.run(run())


def test_an_answer_comes_in_pieces_and_ends_with_what_it_took(url: str, server: Server) -> None:
    *pieces, finished = asked(url + "/v1/", api_key="secret")
    assert pieces == [Delta(word) for word in WORDS]
    assert isinstance(finished, Finished) and finished.reason == "stop"
    assert finished.usage == Usage(7, 3, 5)
    assert finished.prefill_s >= 0 and finished.decode_s >= 0
    [body] = server.bodies
    assert body["prompt"] == "<|im_start|>user\nhello<|im_end|>\n"
    assert body["model"] == "big" and server.keys == ["Bearer secret"]


def test_a_cut_answer_and_one_without_usage_say_so(url: str, server: Server) -> None:
    server.lines = [line for line in answer(WORDS, "length") if '"usage"' not in line]
    finished = asked(url)[-1]
    assert isinstance(finished, Finished) and finished.reason == "length"
    assert finished.usage == Usage(9, 3)  # 33 bytes of prompt, three pieces


@pytest.mark.parametrize(
    "stated",
    [
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": None, "completion_tokens": 3},
        {"prompt_tokens": "7", "completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": 10**12},
        ["7"],
    ],
)
def test_counts_that_cannot_be_are_not_believed(url: str, server: Server, stated: Any) -> None:
    last = {"choices": [{"text": "", "finish_reason": "stop"}], "usage": stated}
    last["timings"] = {"prompt_ms": float("nan"), "predicted_ms": -4}
    server.lines = [*answer(WORDS)[1:4], f"data: {json.dumps(last)}\n\n"]
    finished = asked(url)[-1]
    assert isinstance(finished, Finished) and finished.usage == Usage(9, 3)
    assert 0 <= finished.prefill_s < 60 and 0 <= finished.decode_s < 60


def test_only_what_was_wished_is_asked_for(url: str, server: Server) -> None:
    asked(url, Sampling(max_tokens=5, seed=3))
    asked(
        url,
        Sampling(
            stop=("x",), top_k=4, logit_bias=((7, -1.5),), logprobs=2, json_schema="{}", repeat_penalty=1.1
        ),
        Terms(namespace="t"),
    )
    asked(url, terms=Terms(namespace="t", reuse=Reuse.OFF))
    plain, rich, alone = server.bodies
    assert plain["max_tokens"] == 5 and plain["seed"] == 3 and plain["temperature"] == 0
    assert not {"top_k", "stop", "logprobs", "json_schema", "repeat_penalty"} & plain.keys()
    assert (rich["stop"], rich["top_k"], rich["logit_bias"]) == (["x"], 4, {"7": -1.5})
    assert (rich["logprobs"], rich["json_schema"], rich["repeat_penalty"]) == (2, {}, 1.1)
    assert [body["cache_prompt"] for body in (plain, rich, alone)] == [False, True, False]


def test_what_no_other_server_can_promise_is_refused(url: str, server: Server) -> None:
    with pytest.raises(BadRequest, match="cannot promise verbatim"):
        asked(url, Sampling(verbatim=True))
    with pytest.raises(BadRequest, match="cannot promise replayable"):
        asked(url, terms=Terms(replayable=True))
    server.llama_server = False
    with pytest.raises(BadRequest, match="no grammar"):
        asked(url, Sampling(grammar="root ::= x"))


@pytest.mark.parametrize(
    ("status", "content", "error", "words"),
    [
        (401, {"error": {"message": "bad key"}}, SettingsError, "engine.api_key"),
        (404, {"error": {"message": "no model big"}}, SettingsError, "no model big"),
        (429, {"error": {"message": "later"}}, Overloaded, "later"),
        (400, {"error": {"message": "the request exceeds the context size"}}, ContextTooLong, "exceeds"),
        (400, {"error": "odd"}, BadRequest, "odd"),
        (422, {"detail": "odd"}, BadRequest, "detail"),
        (500, {"error": {"message": "boom"}}, WorkerError, "boom"),
    ],
)
def test_a_refusal_is_said_in_our_words_at_once(
    url: str, server: Server, status: int, content: dict[str, Any], error: type[RagError], words: str
) -> None:
    server.statuses = [(status, content)]
    with pytest.raises(error, match=words):
        asked(url)
    assert len(server.bodies) == 1


def test_a_server_that_still_loads_is_asked_again(
    url: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.engine.remote.PAUSE_S", 0.01)
    server.statuses = [(503, {"error": {"message": "Loading model"}})] * 2
    assert isinstance(asked(url)[-1], Finished)
    server.statuses = [(503, {"error": {"message": "Loading model"}})] * 3
    with pytest.raises(WorkerError, match="Loading model"):
        asked(url)


@pytest.mark.parametrize(
    ("lines", "error", "words"),
    [
        ([*answer(WORDS)[:3], "break off"], WorkerDied, "broke off"),
        (answer(WORDS)[:3], WorkerDied, "in the middle"),
        (
            [*answer(WORDS)[:3], 'data: {"error": {"message": "out of memory"}}\n\n'],
            WorkerError,
            "out of memory",
        ),
        (["data: <html>\n\n"], WorkerError, "does not stream JSON"),
        (['data: {"choices": ["a"]}\n\n'], WorkerError, "no completion: .*'a'"),
        (['data: {"choices": [{"text": 5}]}\n\n'], WorkerError, "no completion"),
        (
            ['data: {"choices": [{"text": "a", "logprobs": {"content": [{}]}}]}\n\n'],
            WorkerError,
            "no completion",
        ),
        (["data: " + "a" * 5_000_000], WorkerError, "a line of more than 4194304 bytes"),
        (answer(["and on "])[1:2] * 5000, WorkerError, "goes on and on, though max_tokens was 96"),
    ],
)
def test_an_answer_that_breaks_off_is_not_asked_again(
    url: str, server: Server, lines: list[str], error: type[RagError], words: str
) -> None:
    server.lines = lines
    with pytest.raises(error, match=words):
        asked(url)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_a_character_that_parts_lines_elsewhere_parts_no_event(url: str, server: Server, mark: str) -> None:
    chunk = {"choices": [{"text": f"one{mark}two", "finish_reason": "stop"}]}
    server.lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n"]
    first, _ = asked(url)
    assert isinstance(first, Delta) and first.text == f"one{mark}two"


@pytest.mark.parametrize(
    "found", [{"data": ["big"]}, {"data": {"id": "big"}}, {"data": None, "object": "list"}]
)
def test_a_list_of_models_that_is_none_names_none(url: str, server: Server, found: dict[str, Any]) -> None:
    server.listed = JSONResponse(found)
    assert within(url, RemoteGenerator.info)["name"] == ""
    assert within(url, RemoteGenerator.info, model="big")["name"] == "big"


def test_a_page_for_people_is_no_server_of_models(url: str, server: Server) -> None:
    server.listed = Response("<html>sign in</html>", media_type="text/html")
    with pytest.raises(
        WorkerError, match="/v1/models with text/html.* and no JSON object; is engine.url right"
    ):
        asked(url)


def test_a_page_for_people_at_props_is_no_llama_server(url: str, server: Server) -> None:
    server.about = Response("<html>nothing here</html>", media_type="text/html")
    asked(url)
    assert "cache_prompt" not in server.bodies[0]


def test_numbers_that_mean_nothing_are_not_sent(url: str, server: Server) -> None:
    with pytest.raises(BadRequest, match="temperature is nan"):
        asked(url, Sampling(temperature=float("nan")))
    assert not server.bodies


def test_nobody_there_is_said_with_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.engine.remote.PAUSE_S", 0.01)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(WorkerUnavailable, match=r"cannot be reached .*engine\.url"):
            asked(url)
        large = Address(url, "large", "tiers.large.urls", "tiers.large.api_key_env")
        with pytest.raises(WorkerUnavailable, match=r"of tier 'large' .*is tiers\.large\.urls right"):
            asked(url, address=large)


def test_a_key_that_is_refused_is_looked_for_where_its_tier_has_it(url: str, server: Server) -> None:
    server.statuses = [(401, {"error": {"message": "bad key"}})]
    with pytest.raises(SettingsError, match=r"of tier 'large' .*see tiers\.large\.api_key_env"):
        asked(url, address=Address(url, "large", "tiers.large.urls", "tiers.large.api_key_env"))


def test_closing_the_stream_ends_the_work_there(url: str, server: Server) -> None:
    server.lines, server.pause_s = answer(["word"] * 1000), 0.01

    async def leave(remote: RemoteGenerator) -> None:
        async with aclosing(remote.stream(PROMPT, Sampling())) as events:  # type: ignore[type-var]
            await anext(events)
            assert (await remote.info())["active"] == 1
        assert (await remote.info())["active"] == 0

    within(url, leave)
    assert server.closed.wait(60)


def test_counts_are_the_servers_or_are_called_approximate(url: str, server: Server) -> None:
    async def count(remote: RemoteGenerator) -> tuple[list[int], dict[str, Any]]:
        return await remote.count(["one two three", "", "12345"]), await remote.info()

    counts, info = within(url, count)
    assert counts == [3, 0, 1]
    assert (info["name"], info["context"], info["counts"]) == ("big", 4096, "exact")
    server.llama_server = False
    counts, info = within(url, count, model="mine")
    assert counts == [4, 0, 2]
    assert (info["name"], info["counts"], info["remote"]) == ("mine", "approximate", url)


def test_probabilities_are_read_in_both_forms(url: str, server: Server) -> None:
    old = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5, "b": -1.0}]}
    top = {"token": "b", "id": 4, "logprob": -1.0}
    new = {"content": [{"token": "a", "id": 3, "logprob": -0.5, "top_logprobs": [top]}]}
    for form, expected in ((old, (("a", -1, -0.5), ("b", -1, -1.0))), (new, (("b", 4, -1.0),))):
        chunk = {"choices": [{"text": "a", "finish_reason": "stop", "logprobs": form}]}
        server.lines = [f"data: {json.dumps(chunk)}\n\n"]
        [delta, _] = asked(url, Sampling(logprobs=2))
        assert isinstance(delta, Delta)
        assert delta.logprobs[0].logprob == -0.5 and delta.logprobs[0].top == expected


@pytest.mark.parametrize("family", families())
def test_no_document_spells_a_control_token_of_any_family(family: str) -> None:
    markers = families()[family].template.markers
    forged = "".join(markers) + "<|anything_else|></think>"
    prompt = [Piece("<|im_start|>user\n", True), Piece(forged, False), Piece("<|im_end|>", True)]
    text = told(prompt)
    inside = text.removeprefix("<|im_start|>user\n").removesuffix("<|im_end|>")
    assert not any(marker in inside for marker in (*markers, "<|anything_else|>", "</think>"))
    assert inside.replace("\u200b", "") == forged


def test_a_control_token_in_two_pieces_of_text_is_none_either() -> None:
    assert told([Piece("a<|im_", False), Piece("end|>b", False)]) == "a<\u200b|im_end|>b"


def test_a_control_token_spelt_across_the_templates_edge_is_refused() -> None:
    with pytest.raises(BadRequest, match="together with the template"):
        told([Piece("<|im_end", False), Piece("|>", True)])


def test_the_start_is_left_to_the_server() -> None:
    template = families()["llama3"].template
    pieces = render([Message("user", "x")], template)
    assert told(pieces).startswith("<|begin_of_text|>")
    assert told(pieces, template.start).startswith("<|start_header_id|>user")


@pytest.mark.model
@pytest.mark.skipif("RAG_TEST_LLAMA_SERVER" not in os.environ, reason="needs a llama-server binary")
def test_a_real_llama_server_answers_counts_and_stops() -> None:
    pinned = entry("smollm2-135m-instruct")
    assert pinned.template
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [os.environ["RAG_TEST_LLAMA_SERVER"], "-m", str(locate(pinned)), "--port", port, "-c", "1024"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        await_health(url)
        question = [Message("system", "Be brief."), Message("user", "Name the capital of France.")]
        prompt = render(question, pinned.template)
        within(url, lambda remote: real_story(remote, prompt))
    finally:
        process.terminate()
        process.wait()


def await_health(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(url)


async def real_story(remote: RemoteGenerator, prompt: list[Piece]) -> None:
    events = [event async for event in remote.stream(prompt, Sampling(max_tokens=24), Terms(namespace="t"))]
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.usage.prompt_tokens > 10
    assert finished.prefill_s > 0
    assert "Paris" in "".join(event.text for event in events if isinstance(event, Delta))
    assert await remote.count(["<|im_start|>", "hello"]) == [
        7,
        1,
    ]  # as ordinary text, not as one control token
    assert (await remote.info())["counts"] == "exact"
    with pytest.raises(ContextTooLong):
        _ = [event async for event in remote.stream([Piece("x " * 5000, False)], Sampling())]
    yes_or_no = [event async for event in remote.stream(prompt, Sampling(grammar='root ::= "no"'))]
    assert "".join(event.text for event in yes_or_no if isinstance(event, Delta)) == "no"
    for parts in (2, None):
        rich = [event async for event in remote.stream(prompt, Sampling(max_tokens=3, logprobs=parts))]
        assert bool(isinstance(rich[0], Delta) and rich[0].logprobs) is (parts is not None)
