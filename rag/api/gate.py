"""Who comes in: the key, the host name, the page behind a request, how often, and how much it may send."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.accounts.authentication import Authentication, credential, session_cookie
from rag.accounts.limits import Allowance
from rag.api.crowd import READING, Readers
from rag.api.deeds import request_id, told
from rag.api.limits import Turnstile, too_many
from rag.api.problems import respond
from rag.errors import BadRequest, PayloadTooLarge, RagError, Refused, Unauthorised
from rag.settings import ServerSettings
from rag.types import Principal

# The page, the probes and the way in hold nothing of anybody's.
OPEN = ("/", "/healthz", "/readyz", "/session")
OPEN_BELOW = ("/web/", "/.well-known/")
# Open too, but each costs a word with the provider: so many a minute from one address.
SIGN_IN = ("/login", "/callback")
# Read as it comes, by a route with limits of its own.
STREAMED = (("POST", "/v1/documents"),)
BODY_S = 60.0  # a body that takes longer would hold one of max_requests for nothing
NOBODY = "nobody"
# What JSON may hold beside characters: pairs that make one, and backslashes. Half a pair is no character.
PAIRED = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..")
HALF = re.compile(rb"\\u[dD][89a-fA-F]..")


class Gate:
    """Turns requests away before anything reads them, and tells the audit log of what changed something.

    Routes find in `request.state`: `principal`; `limits`, to charge the tokens of a prompt.
    """

    def __init__(
        self, app: ASGIApp, *, settings: ServerSettings, authentication: Authentication, turnstile: Turnstile
    ) -> None:
        self.app, self.settings = app, settings
        self.authentication, self.turnstile = authentication, turnstile
        self.readers = Readers(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with contextlib.ExitStack() as inside:
            await self._let_in(scope, receive, send, inside)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, inside: contextlib.ExitStack) -> None:
        headers, allowance = Headers(scope=scope), Allowance()
        state = scope.setdefault("state", {})
        try:
            check_path(scope["path"])
            check_host(headers, self.settings)
            check_origin(headers, self.settings.public_url)
            if not is_open(scope["path"]):
                state["principal"] = principal = await self.authentication.principal(headers)
                check_cookie(scope["method"], headers, self.authentication.cookie)
                allowance, wait_s = await self.turnstile.admit(principal)
                if wait_s:
                    await too_many(allowance, wait_s)(scope, receive, send)
                    return
                await self._check_room(scope, headers, principal)
                if scope["method"] in READING:
                    inside.enter_context(self.readers.counted(principal))
            elif scope["path"] in SIGN_IN and (wait_s := self.turnstile.admit_stranger(address(scope))):
                await too_many(allowance, wait_s)(scope, receive, send)
                return
            state["limits"] = allowance
            # No open route takes a body: nobody waits for one that a stranger sends, or does not.
            if (scope["method"], scope["path"]) not in STREAMED and not is_open(scope["path"]):
                receive = await read_body(receive, headers, self.settings.max_body_bytes)
        except RagError as error:
            await self._turn_away(error, scope, receive, send)
            return
        await self.app(scope, receive, self._watched(scope, send, allowance))

    async def _turn_away(self, error: RagError, scope: Scope, receive: Receive, send: Send) -> None:
        """Say why somebody is not let in. Strangers are told, and written down, so often a minute only."""
        reply: Response = respond(error)
        if isinstance(error, Unauthorised | Refused):
            if wait_s := self.turnstile.admit_stranger(address(scope)):
                reply = too_many(Allowance(), wait_s)
            else:
                await self._record(scope, error.status)
        if error.status == 401 and self.authentication.provider:
            called = f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}"
            metadata = (
                f"{self.settings.public_url.rstrip('/') or called}/.well-known/oauth-protected-resource"
            )
            reply.headers["WWW-Authenticate"] = f'Bearer resource_metadata="{metadata}"'
        await reply(scope, receive, send)

    def _watched(self, scope: Scope, send: Send, allowance: Allowance) -> Send:
        """A `send` that adds what is left, and records the deed before the caller hears that it is done."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._record(scope, message["status"])
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.update(allowance.headers())
            await send(message)

        return watched

    async def _record(self, scope: Scope, status: int) -> None:
        if found := told(scope, status):
            await asyncio.to_thread(
                self.authentication.accounts.audit.record,
                found.action,
                scope["state"].get("principal", NOBODY),
                object=found.object,
                outcome=found.outcome,
                request_id=request_id(scope),
            )

    async def _check_room(self, scope: Scope, headers: Headers, principal: Principal) -> None:
        """Raises QuotaExceeded before a byte is read of what is larger than all that the tenant may hold.

        What it replaces makes room, and that is known only once its names are read (ingest/feeder.py).
        """
        if (scope["method"], scope["path"]) in STREAMED:
            declared = headers.get("content-length", "")
            size = int(declared) if declared.isdigit() else 0
            tenants = self.authentication.accounts.tenants
            await asyncio.to_thread(tenants.check_size, principal.tenant, size)


def address(scope: Scope) -> str:
    """Where a request comes from, as far as the server can tell."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def check_cookie(method: str, headers: Headers, cookie: str) -> None:
    """A browser sends its cookie on its own: what changes something must say from which page."""
    if method in READING or credential(headers) or not session_cookie(headers, cookie):
        return
    if headers.get("origin") is None and headers.get("sec-fetch-site") != "same-origin":
        raise Refused(f"a request with the cookie {cookie} must name its page (Origin)")


def check_path(path: str) -> None:
    """No id holds a control character, and a database may stumble over one."""
    if "\x00" in path:
        raise BadRequest("the path holds a NUL")


def check_host(headers: Headers, settings: ServerSettings) -> None:
    """On loopback only loopback names are served, so a foreign name pointed here (DNS rebinding) fails."""
    named = headers.get("host", "")
    try:
        host = urlsplit(f"//{named}").hostname or ""
    except ValueError:
        raise Refused(f"{named[:100]!r} is no host name") from None
    if is_loopback(settings.host) and not is_loopback(host):
        raise Refused(f"this server answers on loopback names only, not on {host!r}")


def check_origin(headers: Headers, public_url: str) -> None:
    """A page of another site may not call us through a reader's browser."""
    origin = headers.get("origin")
    if origin is not None and not is_ours(origin, headers.get("host", ""), public_url):
        raise Refused(f"requests from pages of {origin[:100]!r} are not served")
    elsewhere = origin is None and headers.get("sec-fetch-site") in ("cross-site", "same-site")
    # A link from elsewhere to the chat page is fine; anything else from another site is not.
    if elsewhere and headers.get("sec-fetch-mode") != "navigate":
        raise Refused("requests from pages of other sites are not served")


def is_ours(origin: str, host: str, public_url: str) -> bool:
    """Whether the page behind a request is of this server, as its sender calls it."""
    try:
        page, public = urlsplit(origin), urlsplit(public_url)
    except ValueError:
        return False
    if not page.netloc or page.netloc.lower() != host.lower():
        return False
    # Whoever is on the way can write a page of our name, but without TLS.
    guarded = public.scheme == "https" and page.netloc.lower() == public.netloc.lower()
    return page.scheme == "https" or not guarded


def is_open(path: str) -> bool:
    """Whether anybody may come here: nothing behind it is anybody's."""
    return path in OPEN or path in SIGN_IN or path.startswith(OPEN_BELOW)


async def read_body(receive: Receive, headers: Headers, limit: int) -> Receive:
    """A `receive` that hands out the whole body again.

    Raises PayloadTooLarge once the limit is passed, BadRequest when it is not there in BODY_S or is no text.
    """
    too_large = PayloadTooLarge(f"the body is larger than {limit} bytes (setting server.max_body_bytes)")
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_S):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    break
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise BadRequest(f"the body was not whole after {BODY_S:.0f} s; send it again") from None
    check_text(body)
    whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


def check_text(body: bytes | bytearray) -> None:
    """What JSON escapes must be characters: half of a pair can be neither stored nor tokenised."""
    if b"\\u" in body and HALF.search(PAIRED.sub(b"", body)):
        raise BadRequest(
            "the body holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address reaches this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
