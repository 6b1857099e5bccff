"""OpenAI's /v1/completions on the wire: what is asked, what streams back, and what its errors mean here."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from rag.engine.address import Address
from rag.engine.generator import Delta, Finished, Logprob, Reuse, Sampling, Terms
from rag.engine.sampling import check
from rag.errors import (
    BadRequest,
    ContextTooLong,
    Overloaded,
    RagError,
    SettingsError,
    WorkerDied,
    WorkerError,
    WorkerTimeout,
    WorkerUnavailable,
)
from rag.types import Usage

BYTES_PER_TOKEN = 4  # of English, in most vocabularies
SHOWN = 300
MOST_TOKENS = 10**9  # that anybody states in earnest
LONGEST_LINE = 1 << 22  # bytes; twenty alternatives beside a token take a few thousand
LONGEST_TOKEN = 256  # characters, and so the most that an answer can take of them


def request_body(prompt: str, sampling: Sampling, terms: Terms, *, llama_server: bool) -> dict[str, Any]:
    """The request in OpenAI's words. Raises BadRequest for what no other server can promise or understand."""
    check(sampling)
    if sampling.verbatim or terms.replayable:
        wish = "verbatim answers" if sampling.verbatim else "replayable answers"
        raise BadRequest(f"a remote server cannot promise {wish}; ask without, or use a local model")
    if (sampling.grammar or sampling.json_schema) and not llama_server:
        raise BadRequest("this remote server takes no grammar and no JSON Schema; llama-server does")
    body: dict[str, Any] = {"prompt": prompt, "stream": True, "stream_options": {"include_usage": True}}
    body |= {name: getattr(sampling, name) for name in ("max_tokens", "temperature", "top_p", "seed")}
    untold = Sampling()
    for name in ("top_k", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty", "grammar"):
        if (value := getattr(sampling, name)) != getattr(untold, name):
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
    if sampling.logprobs is not None:
        body["logprobs"] = sampling.logprobs
    if sampling.json_schema:
        body["json_schema"] = json.loads(sampling.json_schema)
    if llama_server:
        # It keeps one cache for all callers: a prompt that is shared with nobody stays out of it.
        body["cache_prompt"] = terms.namespace is not None and terms.reuse is not Reuse.OFF
    return body


async def events(
    reply: httpx.Response, body: dict[str, Any], began: float, server: Address
) -> AsyncGenerator[Delta | Finished, None]:
    """What the streamed answer to a body says, then Finished. Raises WorkerDied when it ends before it is
    finished, WorkerError when it is none or goes on without end."""
    first, texts, reason = 0.0, 0, ""
    room = (body["max_tokens"] + 1) * LONGEST_TOKEN
    usage: Any = None
    timings: Any = {}
    async for chunk in _chunks(reply, server):
        usage, timings = chunk.get("usage") or usage, chunk.get("timings") or timings
        room -= 1
        for text, chances, ending in _said(chunk, server):
            reason, room = ending or reason, room - len(text)
            if text:
                first, texts = first or time.monotonic(), texts + 1
                yield Delta(text, chances)
        if room < 0:
            raise WorkerError(f"{server} goes on and on, though max_tokens was {body['max_tokens']}")
    if not reason:
        raise WorkerDied(f"{server} broke off in the middle of an answer")
    now = time.monotonic()
    timings = timings if isinstance(timings, dict) else {}
    prefill_s = seconds_of(timings.get("prompt_ms"), (first or now) - began, now - began)
    decode_s = seconds_of(timings.get("predicted_ms"), now - (first or now), now - began)
    yield Finished(
        reason="length" if reason == "length" else "stop",
        usage=usage_of(usage) or Usage(guess(body["prompt"]), texts),
        prefill_s=prefill_s,
        decode_s=decode_s,
        cpu_s=0.0,  # spent elsewhere, and not told
        # How many it served at once is not told either: the whole time counts, which is the most it can be.
        slot_s=prefill_s + decode_s,
        prefill_slot_s=prefill_s,
    )


def refusal(reply: httpx.Response, server: Address) -> RagError:
    """The error that a status other than success stands for. The body must have been read."""
    status, words = reply.status_code, _words(reply)
    if status in (401, 403):
        return SettingsError(f"{server} refuses the key ({status}): see {server.key_setting}")
    if status == 404:
        return SettingsError(
            f"{server} has no such model or no /v1/completions: {words}; see {server.setting}"
        )
    if status == 429:
        return Overloaded(f"{server} is overloaded: {words}; try again")
    if status < 500:
        long = "context" in words.lower() and ("exceed" in words.lower() or "maximum" in words.lower())
        return (ContextTooLong if long else BadRequest)(f"{server} refuses the request ({status}): {words}")
    return WorkerError(f"{server} failed ({status}): {words}")


@contextmanager
def translated(server: Address) -> Iterator[None]:
    """httpx's errors as ours, with the setting to look at."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise WorkerUnavailable(f"{server} cannot be reached ({error}); is {server.setting} right?") from None
    except httpx.TimeoutException:
        raise WorkerTimeout(f"{server} said nothing for too long") from None
    except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL) as error:
        raise WorkerDied(f"{server} broke off: {type(error).__name__}: {error}") from None


def guess(text: str) -> int:
    """About how many tokens a text has."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


async def _chunks(reply: httpx.Response, server: Address) -> AsyncIterator[dict[str, Any]]:
    """The JSON of every event. Raises WorkerError for what is none, and for errors in the stream."""
    with translated(server):
        async for line in lines(reply, server):
            name, _, data = line.partition(":")
            if name not in ("data", "error") or (data := data.strip()) == "[DONE]":
                continue
            try:
                chunk = json.loads(data)
            except ValueError:
                raise WorkerError(f"{server} does not stream JSON: {data[:SHOWN]!r}") from None
            if not isinstance(chunk, dict) or "error" in chunk or name == "error":
                raise WorkerError(f"{server} failed: {data[:SHOWN]}")
            yield chunk


async def lines(reply: httpx.Response, server: Address) -> AsyncIterator[str]:
    """The lines of a stream of events. Raises WorkerError for one without end."""
    # Not httpx's own: that parts lines at U+2028 and the like too, which stand in JSON as they are.
    held = b""
    async for data in reply.aiter_bytes():
        *whole, held = (held + data).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        if len(held) > LONGEST_LINE:
            raise WorkerError(f"{server} sends a line of more than {LONGEST_LINE} bytes")
    yield held.decode("utf-8", "replace")


def _said(chunk: dict[str, Any], server: Address) -> list[tuple[str, tuple[Logprob, ...], str]]:
    """Text, probabilities and the reason to end of each choice. Raises WorkerError for another shape."""
    try:
        return [
            ("" + (one.get("text") or ""), _chances(one.get("logprobs")), one.get("finish_reason") or "")
            for one in chunk.get("choices") or ()
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise WorkerError(f"{server} streams what is no completion: {str(chunk)[:SHOWN]}") from None


def usage_of(stated: Any) -> Usage | None:
    """The tokens that a server states; None if it states none, or what no count of tokens can be: bills rest
    on it."""
    if not isinstance(stated, dict):
        return None
    details = stated.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    told = (stated.get("prompt_tokens"), stated.get("completion_tokens"), cached or 0)
    counts = [count for count in told if isinstance(count, int) and 0 <= count < MOST_TOKENS]
    return Usage(*counts) if len(counts) == len(told) else None


def seconds_of(stated_ms: Any, seen_s: float, whole_s: float) -> float:
    """What a server says that it took, where that can be within the whole answer; else what was seen here."""
    is_time = isinstance(stated_ms, int | float) and 0 <= stated_ms / 1000 <= whole_s
    return stated_ms / 1000 if is_time else seen_s


def _chances(logprobs: dict[str, Any] | None) -> tuple[Logprob, ...]:
    """Both forms that servers use: OpenAI's old lists, and the newer list of tokens."""
    if not logprobs:
        return ()
    if content := logprobs.get("content"):
        return tuple(
            Logprob(
                one["token"],
                one.get("id", -1),
                one["logprob"],
                tuple(
                    (top["token"], top.get("id", -1), top["logprob"]) for top in one.get("top_logprobs", ())
                ),
            )
            for one in content
        )
    tops = logprobs.get("top_logprobs") or []
    return tuple(
        Logprob(token, -1, chance or 0.0, tuple((text, -1, other) for text, other in (top or {}).items()))
        for token, chance, top in zip(
            logprobs.get("tokens", ()), logprobs.get("token_logprobs", ()), tops, strict=False
        )
    )


def _words(reply: httpx.Response) -> str:
    try:
        found = reply.json()["error"]
        return str(found["message"] if isinstance(found, dict) else found)[:SHOWN]
    except (ValueError, KeyError, TypeError):
        return reply.text[:SHOWN] or reply.reason_phrase
