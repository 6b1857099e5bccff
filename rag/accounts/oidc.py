"""An OpenID provider: bearer tokens for services, the code flow with PKCE for people."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx

from rag.accounts.accounts import Accounts
from rag.accounts.identity import Identities
from rag.accounts.pending import Pending
from rag.accounts.roles import RIGHTS, rights_of
from rag.accounts.tokens import BUSY_S, Keyring, Verifier
from rag.accounts.users import User
from rag.errors import ProviderUnavailable, SettingsError, Unauthorised
from rag.settings import OidcSettings
from rag.types import Principal

ANSWER_S = 5.0  # for one question to the provider, from the name look-up to the last byte
LARGEST_BYTES = 1_000_000  # of an answer; key sets and tokens have a few thousand
SIGNING_IN = 4  # threads: those of the server must not wait for a provider
P = ParamSpec("P")
T = TypeVar("T")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Provider:
    """One issuer. Safe to use from many threads; close it. Raises SettingsError without a client_id."""

    def __init__(
        self, settings: OidcSettings, accounts: Accounts, *, clock: Callable[[], float] = time.time
    ) -> None:
        if not settings.client_id:
            raise SettingsError("oidc.issuer is set and oidc.client_id is not: set it as registered there")
        self.settings, self.accounts, self._clock = settings, accounts, clock
        self.identities = Identities(settings, accounts)
        is_secure(settings.issuer)
        self._threads = ThreadPoolExecutor(SIGNING_IN, thread_name_prefix="sign-in")
        self._told: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._verifier = Verifier(settings.issuer, Keyring(self._fetch_keys), leeway_s=settings.leeway_s)

    def close(self) -> None:
        """Let go of the threads in which people sign in."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def aside(self, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Do a step of a sign-in in a thread of ours: a provider that hangs takes none of the server's."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: step(*args, **named))

    def bearer(self, token: str) -> Principal:
        """Who sends this token, with what he may do now. Raises Unauthorised, ProviderUnavailable."""
        claims = self._verifier.claims(token, self.settings.audience or self.settings.client_id)
        found = self.identities.of(claims)
        return Principal(
            tenant=found.user.tenant,
            groups=self.accounts.users.groups(found.user.id, found.groups),
            user=found.user.name,
            rights=RIGHTS[found.user.role] if found.roles is None else rights_of(found.roles),
        )

    def begin(self, redirect_url: str) -> tuple[str, str]:
        """Where the browser goes to sign in, and the sealed cookie that it brings back."""
        pending = Pending.new(redirect_url, self._clock())
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_url,
            "scope": self.settings.scopes,
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": pending.challenge,
            "code_challenge_method": "S256",
        }
        address = self._endpoint("authorization_endpoint")
        target = f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"
        return target, pending.sealed(self.accounts.pepper)

    def finish(self, cookie: str, state: str, code: str) -> tuple[User, str]:
        """The user who came back with a code, and the cookie of his session. Raises Unauthorised."""
        pending = Pending.unsealed(cookie, self.accounts.pepper, state=state, now=self._clock())
        claims = self._verifier.claims(
            self._redeemed(code, pending), self.settings.client_id, nonce=pending.nonce
        )
        found = self.identities.of(claims)
        session = self.accounts.sessions.open(
            found.user, lasts_s=self.settings.session_s, groups=found.groups, roles=found.roles
        )
        return found.user, session

    def _discovered(self) -> dict[str, Any]:
        """What the provider says of itself, asked once. Raises ProviderUnavailable."""
        if not self._told:
            if not self._lock.acquire(timeout=BUSY_S):
                raise ProviderUnavailable(f"{self.settings.issuer} is slow to answer; try again")
            try:
                self._told = self._told or self._introduced()
            finally:
                self._lock.release()
        return self._told

    def _introduced(self) -> dict[str, Any]:
        found = self._get(self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if not isinstance(found, dict) or found.get("issuer") != self.settings.issuer:
            raise ProviderUnavailable(f"{self.settings.issuer} calls itself otherwise; check oidc.issuer")
        return found

    def _endpoint(self, name: str) -> str:
        address = self._discovered().get(name)
        if not isinstance(address, str):
            raise ProviderUnavailable(f"{self.settings.issuer} tells no {name}")
        return is_secure(address)

    def _fetch_keys(self) -> Any:
        return self._get(self.settings.jwks_url or self._endpoint("jwks_uri"))

    def _get(self, url: str) -> Any:
        status, found = asked("GET", is_secure(url))
        if status != 200:
            raise ProviderUnavailable(
                f"the provider at {urlsplit(url).netloc} answers with status {status}; try again"
            )
        return found

    def _redeemed(self, code: str, pending: Pending) -> str:
        """The identity token for a code. Raises Unauthorised, ProviderUnavailable."""
        ours = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_url,
            "code_verifier": pending.verifier,
            "client_id": ours.client_id,
        }
        secret = httpx.BasicAuth(ours.client_id, ours.client_secret) if ours.client_secret else httpx.Auth()
        _, found = asked("POST", self._endpoint("token_endpoint"), data=form, auth=secret)
        token = found.get("id_token") if isinstance(found, dict) else None
        if not isinstance(token, str):
            raise Unauthorised("the provider does not vouch for this sign-in; begin again")
        return token


def asked(method: str, url: str, **request: Any) -> tuple[int, Any]:
    """Status of the provider's answer, and its JSON if it is a good one. Raises ProviderUnavailable.

    On a loop of its own: only there all of it, a head that trickles in too, is cut short after ANSWER_S.
    """
    try:
        status, body = asyncio.run(answered(method, url, **request))
        return status, json.loads(body) if status == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
        raise ProviderUnavailable(
            f"the provider at {urlsplit(url).netloc} does not answer ({type(error).__name__}); try again"
        ) from None


async def answered(method: str, url: str, **request: Any) -> tuple[int, bytes]:
    """Status and body of one answer. Raises ValueError when it is too large."""
    # Unpacked, a small answer could become a large one.
    plain = {"Accept-Encoding": "identity"}
    async with (
        asyncio.timeout(ANSWER_S),
        httpx.AsyncClient(trust_env=False, verify=trusted(), timeout=None, headers=plain) as http,
        http.stream(method, url, **request) as reply,
    ):
        body = bytearray()
        async for piece in reply.aiter_raw():
            body += piece
            if len(body) > LARGEST_BYTES:
                raise ValueError(f"more than {LARGEST_BYTES} bytes")
        return reply.status_code, bytes(body)


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes a third of a second."""
    return httpx.create_ssl_context(trust_env=False)


def is_secure(url: str) -> str:
    """The URL, if nobody on the way can change what it says. Raises SettingsError."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url
    raise SettingsError(f"{url[:200]!r} is not https: whoever is on the way could sign in as anybody")
