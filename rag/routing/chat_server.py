"""One server of others with OpenAI's /v1/chat/completions, streamed. It sends parcels and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx

from rag.engine.address import Address
from rag.engine.completions import SHOWN, guess, lines, translated, usage_of
from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Sampling, Terms
from rag.engine.prompt import Piece
from rag.errors import (
    BadRequest,
    EgressDenied,
    Overloaded,
    RagError,
    SettingsError,
    WorkerDied,
    WorkerError,
    WorkerUnavailable,
)
from rag.models.lockfile import ChatTemplate
from rag.types import Usage

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
ATTEMPTS = 2
BUSY = (502, 503, 504)
# The server has a template of its own: only who speaks is told, by pieces that no text can spell.
ROLES = ChatTemplate(before="{role}", after="", answer="assistant")


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A request that went out."""

    url: str
    bytes: int
    at: float


class Parcel(list[Piece]):
    """A prompt in the form of ROLES that was cleared to leave, and every time that it did."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__(pieces)
        self.dispatches: list[Dispatch] = []


class ChatServer:
    """Continues parcels at one address. Counting, warming and describing send nothing."""

    def __init__(self, address: Address, *, model: str, key: str) -> None:
        self.address, self.model = address, model
        self.url = address.url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Reading the certificates takes longer than many an answer: only where there is one to check.
        secure = self.url.lower().startswith("https:")
        self._client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=TIMEOUT, verify=secure)
        self._limit = "max_tokens"
        self._active = 0

    async def stream(
        self,
        prompt: Sequence[Piece],
        sampling: Sampling,
        terms: Terms = SHARED_WITH_NOBODY,
        *,
        attempts: int = ATTEMPTS,
    ) -> AsyncIterator[Delta | Finished]:
        """The answer as it comes; a server that is busy or away is asked so often.

        Raises EgressDenied for a prompt that nobody cleared.
        """
        if not isinstance(prompt, Parcel):
            raise EgressDenied(f"nothing leaves for {self.url} without clearance of its tier")
        body = self._body(prompt, sampling, terms)
        self._active += 1
        try:
            began = time.monotonic()
            async with (
                self._answer(body, prompt, attempts) as reply,
                aclosing(self._events(reply, body, began)) as events,
            ):
                async for event in events:
                    yield event
        finally:
            self._active -= 1

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        """Nothing: what may be asked does not leave."""

    async def count(self, texts: Sequence[str]) -> list[int]:
        """About how many tokens each text has."""
        return [guess(text) for text in texts]

    async def info(self) -> dict[str, Any]:
        """What is known without asking."""
        return {
            "name": self.model,
            "sha256": "",
            "quantisation": "",
            "licence": "",
            "remote": self.url,
            "build": "",
            "counts": "approximate",
            "active": self._active,
            "waiting": 0,
        }

    async def close(self) -> None:
        await self._client.aclose()

    def _body(self, parcel: Parcel, sampling: Sampling, terms: Terms) -> dict[str, Any]:
        limited = (
            sampling.grammar or sampling.json_schema or sampling.verbatim or sampling.logprobs is not None
        )
        if limited or terms.replayable:
            raise BadRequest(
                "an external tier takes no grammar, no schema and no logprobs, and replays nothing"
            )
        return {
            "model": self.model,
            "messages": spoken(parcel),
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit: sampling.max_tokens,
            "temperature": sampling.temperature,
            **({"stop": list(sampling.stop)} if sampling.stop else {}),
        }

    @asynccontextmanager
    async def _answer(
        self, body: dict[str, Any], parcel: Parcel, attempts: int
    ) -> AsyncIterator[httpx.Response]:
        """The open answer; asked again, before the first byte, where that may help."""
        for attempt in count(1):
            content = json.dumps(body, ensure_ascii=False).encode()
            parcel.dispatches.append(Dispatch(self.url, len(content), time.time()))
            try:
                with translated(self.address):
                    request = self._client.build_request(
                        "POST",
                        "/v1/chat/completions",
                        content=content,
                        headers={"Content-Type": "application/json"},
                    )
                    reply = await self._client.send(request, stream=True)
            except (WorkerUnavailable, WorkerDied) as error:
                if isinstance(error, WorkerUnavailable):
                    parcel.dispatches.pop()  # there was no connection that it could leave by
                if attempt >= attempts:
                    raise
                continue
            try:
                if reply.is_success:
                    yield reply
                    return
                await reply.aread()
                # Newer models of OpenAI's know the limit by another name only.
                renamed = reply.status_code == 400 and "max_completion_tokens" in reply.text
                if renamed and "max_tokens" in body:
                    body["max_completion_tokens"] = body.pop("max_tokens")
                    self._limit = "max_completion_tokens"
                elif reply.status_code not in BUSY or attempt >= attempts:
                    raise refusal(reply, self.address)
            finally:
                await reply.aclose()

    async def _events(
        self, reply: httpx.Response, body: dict[str, Any], began: float
    ) -> AsyncGenerator[Delta | Finished, None]:
        first, texts, reason = 0.0, 0, ""
        usage: dict[str, Any] = {}
        async for chunk in chunks(reply, self.address):
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices") or ():
                reason = choice.get("finish_reason") or reason
                if text := (choice.get("delta") or {}).get("content"):
                    first, texts = first or time.monotonic(), texts + 1
                    yield Delta(text)
        if not reason:
            raise WorkerDied(f"{self.address} broke off in the middle of an answer")
        now = time.monotonic()
        asked = sum(guess(message["content"]) for message in body["messages"])
        yield Finished(
            reason="length" if reason == "length" else "stop",
            usage=usage_of(usage) or Usage(asked, texts),
            prefill_s=(first or now) - began,
            decode_s=now - (first or now),
            cpu_s=0.0,
        )


def spoken(prompt: Sequence[Piece]) -> list[dict[str, str]]:
    """A prompt in the form of ROLES as messages; the last role, whose turn it is, says nothing yet."""
    messages: list[dict[str, str]] = []
    for piece in prompt:
        if piece.control:
            messages.append({"role": piece.text, "content": ""})
        else:
            messages[-1]["content"] += piece.text
    return messages[:-1]


async def chunks(reply: httpx.Response, server: Address) -> AsyncIterator[dict[str, Any]]:
    """The JSON of every event. Raises WorkerError for what is none, and for errors in the stream."""
    with translated(server):
        async for line in lines(reply, server):
            name, _, data = line.partition(":")
            if name != "data" or (data := data.strip()) == "[DONE]":
                continue
            try:
                chunk = json.loads(data)
            except ValueError:
                raise WorkerError(f"{server} does not stream JSON") from None
            if not isinstance(chunk, dict) or "error" in chunk:
                raise WorkerError(f"{server} failed: {data[:SHOWN]}")
            yield chunk


def refusal(reply: httpx.Response, server: Address) -> RagError:
    """The error that a status other than success stands for. The body must have been read."""
    status, words = reply.status_code, reply.text[:SHOWN]
    if status in (401, 403):
        return SettingsError(f"{server} refuses the key ({status}): see {server.key_setting}")
    if status == 404:
        return SettingsError(
            f"{server} has no such model or no /v1/chat/completions: see {server.setting} and its model"
        )
    if status == 429:
        return Overloaded(f"{server} is overloaded or its quota is used up: {words}")
    if status < 500:
        return BadRequest(f"{server} refuses the request ({status}): {words}")
    return WorkerError(f"{server} failed ({status}): {words}")
