"""Idempotency-Key: a request that is sent again gets the reply it had, and the work is not done twice.

For requests that answer or begin a conversation. An upload is the same document again anyway, and what shows
a secret once must not be kept: elsewhere the header changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.api.problems import respond
from rag.conversations.replies import LARGEST_BYTES, Replies, Reply, Slot
from rag.errors import BadRequest, RagError
from rag.types import Principal

HEADER = "idempotency-key"
KEY = re.compile(r"[\x21-\x7e]{1,255}")
PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/search",
    "/v1/conversations",
)
KEPT_HEADERS = ("content-type", "x-accel-buffering")
AGAIN = ("Idempotency-Replayed", "true")
# How a stream ends that was not cut short and did not fail on its way.
LAST_EVENTS = (b"data: [DONE]", b"event: response.completed")


class Idempotency:
    """Stands behind the gate, which tells who asks and has bounded the body."""

    def __init__(self, app: ASGIApp, *, replies: Replies) -> None:
        self.app, self.replies = app, replies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(HEADER) if is_concerned(scope) else None
        if key is None:
            await self.app(scope, receive, send)
            return
        principal: Principal = scope["state"]["principal"]
        body = await whole(receive)
        slot = Slot(digest(scope, principal, key), hashlib.sha256(body).hexdigest())
        try:
            if not KEY.fullmatch(key):
                raise BadRequest(
                    "Idempotency-Key must be 1 to 255 visible characters of ASCII, such as a UUID"
                )
            known = await asyncio.to_thread(self.replies.claim, slot, principal)
        except RagError as error:
            await respond(error)(scope, receive, send)
            return
        if known is not None:
            headers = dict((*known.headers, AGAIN))
            await Response(known.body, known.status, headers)(scope, receive, send)
            return
        await self._work(slot, scope, again(body, receive), send)

    async def _work(self, slot: Slot, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the reply be made, and keep it if it is whole and good."""
        recorder = Recorder()

        async def recorded(message: Message) -> None:
            recorder.take(message)
            # Before the caller has the end of it, so that asking again at once finds it settled.
            if recorder.ended:
                await self._settle(slot, recorder.reply())
            await send(message)

        try:
            await self.app(scope, receive, recorded)
        finally:
            if not recorder.ended:
                # Shielded: a caller who goes away must not leave the key claimed.
                await asyncio.shield(self._settle(slot, None))

    async def _settle(self, slot: Slot, reply: Reply | None) -> None:
        if reply:
            await asyncio.to_thread(self.replies.keep, slot, reply)
        else:
            await asyncio.to_thread(self.replies.release, slot)


@dataclass
class Recorder:
    """Remembers a response as it passes."""

    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def take(self, message: Message) -> None:
        """One message of the response."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], Headers(raw=message["headers"])
        elif message["type"] == "http.response.body":
            # One byte over the limit is enough to know that it is over.
            self.body += message.get("body", b"")[: LARGEST_BYTES + 1 - len(self.body)]
            self.ended = not message.get("more_body", False)

    def reply(self) -> Reply | None:
        """What to give again: a success that is whole. An error did no work that could be done twice."""
        if not 200 <= self.status < 300:
            return None
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            last = bytes(self.body).rstrip().rpartition(b"\n\n")[2]
            if not last.startswith(LAST_EVENTS):
                return None
        kept = tuple((name, self.headers[name]) for name in KEPT_HEADERS if name in self.headers)
        return Reply(self.status, kept, bytes(self.body))


def is_concerned(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in PATHS


def digest(scope: Scope, principal: Principal, key: str) -> str:
    """Of who asks with which rights, where, and the key: nobody meets a reply that another was given."""
    rights = sorted(principal.rights)
    who = [principal.tenant, principal.user, principal.key, principal.readership, rights]
    where = [scope["method"], scope["path"], scope["query_string"].decode("latin-1")]
    return hashlib.sha256(json.dumps([who, where, key]).encode()).hexdigest()


async def whole(receive: Receive) -> bytes:
    """The body of a request."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return bytes(body)


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out a body that was read, then what comes behind it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay
