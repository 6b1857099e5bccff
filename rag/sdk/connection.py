"""Where a client connects, and what both clients do with a request in the same way."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

import rag
from rag.errors import BadRequest, RagError, Unauthorised, WorkerError, WorkerTimeout, WorkerUnavailable
from rag.sdk.retry import Retry, Waits
from rag.sdk.steps import Call, Pause, Steps
from rag.wire import restore

HERE = "http://127.0.0.1:8000"
CONNECT_S = 5.0
ADDRESS = re.compile(r"https?://[^/\s]", re.IGNORECASE)
Result = httpx.Response | httpx.HTTPError
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """One server and how to reach it."""

    url: str
    api_key: str = field(repr=False)
    timeout_s: float
    retry: Retry

    @classmethod
    def of(cls, base_url: str, api_key: str, timeout_s: float, max_retries: int) -> Connection:
        """What is given, else RAG_URL and RAG_API_KEY, else this machine without a key.

        Raises BadRequest for an address or a key that is none, or no time to answer.
        """
        url = base_url or os.environ.get("RAG_URL", "") or HERE
        check_address(url)
        # Keys are read from files, with the end of their line.
        key = (api_key or os.environ.get("RAG_API_KEY", "")).strip()
        if not (key.isascii() and key.isprintable()):
            raise BadRequest(
                "the key holds a character that no key has: give it as rag keys create printed it"
            )
        if timeout_s <= 0:
            raise BadRequest(f"timeout_s {timeout_s} leaves no time for an answer; 120 is usual")
        # The address that OpenAI's clients want ends in /v1; our paths begin with it.
        return cls(url.rstrip("/").removesuffix("/v1"), key, timeout_s, Retry(max_retries))

    def options(self) -> dict[str, Any]:
        """Arguments of an httpx client."""
        return {
            "base_url": self.url,
            "headers": {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
            "timeout": httpx.Timeout(self.timeout_s, connect=CONNECT_S),
            # A proxy of the environment must not see questions meant for a server of our own.
            "trust_env": False,
            # Certificates are loaded only where there is one to check: that takes longer than a search.
            "verify": self.url.lower().startswith("https:"),
        }

    def carried_out(self, steps: Steps[T]) -> Generator[Call | Pause, Result | None, T]:
        """The steps of a verb, with requests sent again where that may help, and with errors of ours."""
        reply: Any = None
        error: RagError | None = None
        step: Call | Pause | None = None
        while True:
            try:
                step = steps.throw(error) if error else steps.send(reply)
            except StopIteration as done:
                result: T = done.value
                return result
            except (ValidationError, KeyError, TypeError) as odd:
                if not isinstance(step, Call):
                    raise
                raise self.unreadable(step, odd) from None
            error = None
            try:
                reply = (yield from self._sent(step)) if isinstance(step, Call) else (yield step)
            except RagError as failed:
                error = failed

    def _sent(self, call: Call) -> Generator[Call | Pause, Result | None, Any]:
        """The body of the reply to a call; the open reply itself when it is streamed."""
        tried = 0
        while True:
            tried += 1
            result = yield call
            assert result is not None
            again_s = self.retry.pause_s(tried, result, repeatable=call.repeatable)
            if again_s is None:
                break
            Waits.add(again_s)
            yield Pause(again_s)
        if isinstance(result, httpx.HTTPError):
            raise self.translated(result)
        if result.is_error:
            raise self.refusal(result)
        return result if call.streamed else body_of(result)

    def refusal(self, response: httpx.Response) -> RagError:
        """The error that a server tells, with what of it only a client can know."""
        body = body_of(response)
        if not isinstance(body, dict):
            return WorkerError(
                f"{body} at {response.request.url}, and not as Permafrost does; is {self.url} its address?"
            )
        error = restore(body)
        if isinstance(error, Unauthorised):
            sent = "its key was sent" if self.api_key else "no key was sent: set RAG_API_KEY, or api_key="
            return Unauthorised(f"{error} ({self.url}; {sent})")
        return error

    def unreadable(self, call: Call, why: Exception) -> WorkerError:
        """The error for a reply that is none of those that this version knows."""
        if isinstance(why, ValidationError):
            first = why.errors()[0]
            told = ": ".join([".".join(map(str, first["loc"])) or "the whole of it", first["msg"]])
        else:
            told = f"{type(why).__name__}: {why}"
        return WorkerError(
            f"the reply of {self.url} to {call.method} {call.path} is none of Permafrost {rag.__version__} "
            f"({told}): is that its address, and its version the same? rag doctor asks it"
        )

    def translated(self, error: httpx.HTTPError) -> WorkerError:
        """One of our errors for what went wrong on the network."""
        if isinstance(error, httpx.TimeoutException):
            return WorkerTimeout(self.broke(error))
        if isinstance(error, httpx.ConnectError):
            if "SSL" in str(error):
                return WorkerUnavailable(
                    f"no TLS with the server at {self.url}: {error}; check its certificate, or use http://"
                )
            return WorkerUnavailable(f"no server answers at {self.url} ({error}); start one with rag serve")
        return WorkerUnavailable(f"{self.broke(error)} before the reply was whole; try again")

    def broke(self, error: httpx.HTTPError) -> str:
        """What went wrong with a connection that was there."""
        if isinstance(error, httpx.TimeoutException):
            return f"the server at {self.url} did not answer in time"
        return f"the connection to {self.url} broke"


def check_address(url: str) -> None:
    """Raises BadRequest for what is no plain address of a server, without the password that may be in it."""
    if not ADDRESS.match(url):
        raise BadRequest(f"{url!r} is no address of a server; write it as {HERE}")
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as odd:
        raise BadRequest(f"{url!r} is no address of a server ({odd}); write it as {HERE}") from None
    if parts.userinfo:
        raise BadRequest(
            "an address holds no user and no password here: give a key, as RAG_API_KEY or api_key="
        )
    if parts.query or parts.fragment or " " in url:
        raise BadRequest(f"{url!r} holds more than the address of a server; write it as {HERE}")


def body_of(response: httpx.Response) -> Any:
    """The body of a reply, which is JSON unless something else than Permafrost answered."""
    try:
        return response.json()
    except ValueError:
        return f"the server answered with status {response.status_code}"
