"""The generator that is a server of its own: llama-server, vLLM, anything with OpenAI's /v1/completions.

The prompt goes as one text in the template's form, so the server's tokeniser reads control tokens wherever
they are spelt. Text that is not the template's is therefore broken up where it spells one (`told`). What the
server keeps in its caches, and for whom, is its own affair: namespaces end here.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache
from typing import Any

import httpx

from rag.engine.address import Address
from rag.engine.completions import events, guess, refusal, request_body, translated
from rag.engine.generator import SHARED_WITH_NOBODY, Delta, Finished, Sampling, Terms
from rag.engine.prompt import ZERO_WIDTH_SPACE, Piece
from rag.errors import BadRequest, WorkerDied, WorkerError, WorkerUnavailable
from rag.models.templates import families

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
ATTEMPTS, PAUSE_S = 3, 0.5
COUNTS_AT_ONCE = 4
BUSY = (502, 503, 504)


class RemoteGenerator:
    """Continues prompts on another server. `start` is the template's first text: servers add it themselves.

    Counts are exact where the server has /tokenize, else a guess that `info()` calls approximate.
    """

    def __init__(self, address: Address, *, model: str = "", api_key: str = "", start: str = "") -> None:
        self.address, self.url = address, address.url.rstrip("/").removesuffix("/v1")
        self.model, self.start = model, start
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # Reading the certificates takes longer than many an answer: only where there is one to check.
        secure = self.url.lower().startswith("https:")
        self._client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=TIMEOUT, verify=secure)
        self._about: dict[str, Any] = {}
        self._counts_exactly = True
        self._active = 0

    async def stream(
        self,
        prompt: Sequence[Piece],
        sampling: Sampling,
        terms: Terms = SHARED_WITH_NOBODY,
        *,
        attempts: int = ATTEMPTS,
    ) -> AsyncIterator[Delta | Finished]:
        """The answer as it comes, then one Finished; closing it closes the connection: the work ends.

        `attempts`: how often a server that is busy or away is asked, with pauses between.
        """
        info = await self.info()
        body = request_body(told(prompt, self.start), sampling, terms, llama_server=info["llama_server"])
        body["model"] = info["name"]
        self._active += 1
        try:
            began = time.monotonic()
            async with (
                self._answer(body, attempts) as reply,
                aclosing(events(reply, body, began, self.address)) as answer,
            ):
                async for event in answer:
                    yield event
        finally:
            self._active -= 1

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None:
        """Nothing: what its server keeps is the server's to decide."""

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, read as ordinary text; approximate where the server does not count."""
        gate = asyncio.Semaphore(COUNTS_AT_ONCE)

        async def one(text: str) -> int:
            async with gate:
                return await self._count(text)

        return list(await asyncio.gather(*map(one, texts)))

    async def info(self) -> dict[str, Any]:
        """What the server says of itself, asked once; digest and licence of its model are not known."""
        if not self._about:
            listed = (await self._get("/v1/models")).get("data")
            models = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            first = models[0] if models else {}
            # Only llama-server has it; others answer 404, or with a page for people.
            props = await self._get("/props", optional=True)
            settings = props.get("default_generation_settings")
            cells = settings.get("n_ctx") if isinstance(settings, dict) else first.get("max_model_len")
            self._about = {
                "name": self.model or str(first.get("id", "")),
                "sha256": "",
                "quantisation": "",
                "licence": "",
                "remote": self.url,
                "build": str(props.get("build_info", "")),
                "context": cells if isinstance(cells, int) else 0,
                "llama_server": isinstance(settings, dict),
            }
        counts = "exact" if self._counts_exactly else "approximate"
        return {**self._about, "counts": counts, "active": self._active, "waiting": 0}

    async def close(self) -> None:
        """Close the connections; the server goes on."""
        await self._client.aclose()

    async def _count(self, text: str) -> int:
        if self._counts_exactly:
            # llama-server reads content and parse_special, vLLM prompt and add_special_tokens.
            asked = {"content": text, "prompt": text, "add_special": False, "parse_special": False}
            reply = await self._ask("POST", "/tokenize", {**asked, "add_special_tokens": False})
            tokens = _object(reply).get("tokens")
            if isinstance(tokens, list):
                return len(tokens)
            self._counts_exactly = False
        return guess(text)

    async def _get(self, path: str, *, optional: bool = False) -> dict[str, Any]:
        reply = await self._ask("GET", path)
        if (found := _object(reply)) or optional:
            return found
        if not reply.is_success:
            raise refusal(reply, self.address)
        kind = reply.headers.get("content-type", "nothing that it names")
        raise WorkerError(
            f"{self.address} answers {path} with {kind} and no JSON object; is {self.address.setting} right?"
        )

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        for _ in range(ATTEMPTS - 1):
            with suppress(WorkerDied), translated(self.address):
                return await self._client.request(method, path, json=body)
        with translated(self.address):
            return await self._client.request(method, path, json=body)

    @asynccontextmanager
    async def _answer(self, body: dict[str, Any], attempts: int) -> AsyncIterator[httpx.Response]:
        """The open answer of a server that took the request. Tried again only until the first byte."""
        for attempt in itertools.count(1):
            try:
                with translated(self.address):
                    request = self._client.build_request("POST", "/v1/completions", json=body)
                    reply = await self._client.send(request, stream=True)
            except (WorkerUnavailable, WorkerDied):  # llama-server drops kept connections unannounced
                if attempt == attempts:
                    raise
            else:
                try:
                    if reply.is_success:
                        yield reply
                        return
                    await reply.aread()
                    if reply.status_code not in BUSY or attempt == attempts:
                        raise refusal(reply, self.address)
                finally:
                    await reply.aclose()
            await asyncio.sleep(PAUSE_S * attempt)


def _object(reply: httpx.Response) -> dict[str, Any]:
    """The JSON object of a success; empty for anything else."""
    with suppress(ValueError):
        found = reply.json() if reply.is_success else None
        return found if isinstance(found, dict) else {}
    return {}


def told(prompt: Sequence[Piece], start: str = "") -> str:
    """The prompt as one text in which only the template's own pieces spell control tokens."""
    runs = [
        (control, "".join(piece.text for piece in run))
        for control, run in itertools.groupby(prompt, key=lambda piece: piece.control)
    ]
    if runs and runs[0][0]:
        runs[0] = (True, runs[0][1].removeprefix(start))
    text = "".join(run if control else _broken(run) for control, run in runs)
    if len(_spelt().findall(text)) != sum(len(_spelt().findall(run)) for control, run in runs if control):
        raise BadRequest("a text spells a control token together with the template around it; rephrase it")
    return text


@cache
def _spelt() -> re.Pattern[str]:
    # The server's vocabulary is not known: every family's markers, and whatever looks like one.
    markers = {marker for family in families().values() for marker in family.template.markers}
    known = "|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True))
    return re.compile(rf"{known}|<[|｜][^<>|｜\s]{{1,64}}[|｜]>|</?think>|<unused\d+>")


def _broken(text: str) -> str:
    return _spelt().sub(lambda found: found[0][0] + ZERO_WIDTH_SPACE + found[0][1:], text)
