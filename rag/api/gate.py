"""Who comes in: the bearer key, the host name, the page behind a request, and how much it may send."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.accounts.authentication import Authentication
from rag.api.problems import respond
from rag.errors import PayloadTooLarge, RagError, Refused
from rag.settings import ServerSettings

# The page and the probes hold nothing of anybody's.
OPEN = ("/", "/healthz", "/readyz")
OPEN_BELOW = "/web/"
# Read as it comes, by a route with limits of its own.
STREAMED = (("POST", "/v1/documents"),)


class Gate:
    """Turns requests away before anything reads them."""

    def __init__(self, app: ASGIApp, *, settings: ServerSettings, authentication: Authentication) -> None:
        self.app, self.settings, self.authentication = app, settings, authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            check_host(headers, self.settings)
            check_origin(headers)
            if not is_open(scope["path"]):
                scope.setdefault("state", {})["principal"] = await self.authentication.principal(headers)
            if (scope["method"], scope["path"]) not in STREAMED:
                receive = await read_body(receive, headers, self.settings.max_body_bytes)
        except RagError as error:
            await respond(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def check_host(headers: Headers, settings: ServerSettings) -> None:
    """On loopback only loopback names are served, so a foreign name pointed here (DNS rebinding) fails."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if is_loopback(settings.host) and not is_loopback(host):
        raise Refused(f"this server answers on loopback names only, not on {host!r}")


def check_origin(headers: Headers) -> None:
    """A page of another site may not call us through a reader's browser."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise Refused(f"requests from pages of {origin!r} are not served")
    elsewhere = origin is None and headers.get("sec-fetch-site") in ("cross-site", "same-site")
    # A link from elsewhere to the chat page is fine; anything else from another site is not.
    if elsewhere and headers.get("sec-fetch-mode") != "navigate":
        raise Refused("requests from pages of other sites are not served")


def is_open(path: str) -> bool:
    """Whether anybody may come here: nothing behind it is anybody's."""
    return path in OPEN or path.startswith(OPEN_BELOW)


async def read_body(receive: Receive, headers: Headers, limit: int) -> Receive:
    """A `receive` that hands out the whole body again. Raises PayloadTooLarge once the limit is passed."""
    too_large = PayloadTooLarge(f"the body is larger than {limit} bytes (setting server.max_body_bytes)")
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise too_large
    whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


def is_loopback(host: str) -> bool:
    """Whether a host name or address reaches this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
