"""Servers of others, on real ports: they speak OpenAI's shapes, keep what they were sent, and can fail."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

USAGE = {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 200}}


class Provider:
    """What it was asked, and how it answers: words with pauses, a status, or death in the middle."""

    DIE = "the server dies here"

    def __init__(self) -> None:
        self.url = ""
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)
        self.app.post("/v1/completions")(self.complete)
        self.app.get("/v1/models")(self.models)
        self.forget()

    def forget(self) -> None:
        """As good as new."""
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.bytes = 0
        self.words = ["One", " two"]
        self.usage: dict[str, Any] | None = USAGE
        self.statuses: list[tuple[int, dict[str, Any]]] = []
        self.first_s = self.pause_s = 0.0

    async def chat(self, request: Request) -> Response:
        return await self.answer(request, lambda word: {"delta": {"content": word}})

    async def complete(self, request: Request) -> Response:
        return await self.answer(request, lambda word: {"text": word})

    async def models(self) -> dict[str, Any]:
        return {"data": [{"id": "big"}]}

    async def answer(self, request: Request, shape: Any) -> Response:
        content = await request.body()
        self.bytes += len(content)
        self.bodies.append(json.loads(content))
        self.keys.append(request.headers.get("authorization"))
        if self.statuses:
            status, told = self.statuses.pop(0)
            return JSONResponse(told, status)
        return StreamingResponse(self.stream(shape), media_type="text/event-stream")

    async def stream(self, shape: Any) -> AsyncIterator[str]:
        await asyncio.sleep(self.first_s)
        for word in self.words:
            if word == self.DIE:
                raise ConnectionError(word)
            yield event({"choices": [{**shape(word), "finish_reason": None}]})
            await asyncio.sleep(self.pause_s)
        yield event({"choices": [{**shape(""), "finish_reason": "stop"}]})
        if self.usage:
            yield event({"choices": [], "usage": self.usage})
        yield "data: [DONE]\n\n"


def event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


@contextmanager
def served(provider: Provider) -> Iterator[Provider]:
    config = uvicorn.Config(provider.app, port=0, log_level="critical", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    provider.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    yield provider
    running.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def providers() -> Iterator[tuple[Provider, Provider]]:
    with served(Provider()) as one, served(Provider()) as two:
        yield one, two


@pytest.fixture
def provider(providers: tuple[Provider, Provider]) -> Provider:
    providers[0].forget()
    return providers[0]


@pytest.fixture
def other(providers: tuple[Provider, Provider]) -> Provider:
    providers[1].forget()
    return providers[1]
