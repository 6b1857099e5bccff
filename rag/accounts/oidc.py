"""An OpenID provider: bearer tokens for services, the code flow with PKCE for people."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from rag.accounts.accounts import Accounts
from rag.accounts.identity import Identities
from rag.accounts.pending import Pending
from rag.accounts.roles import RIGHTS, rights_of
from rag.accounts.tokens import Keyring, Verifier
from rag.accounts.users import User
from rag.errors import ProviderUnavailable, SettingsError, Unauthorised
from rag.settings import OidcSettings
from rag.types import Principal

TIMEOUT_S = 5.0
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
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=trusted())
        self._lock = threading.Lock()
        self._verifier = Verifier(settings.issuer, Keyring(self._fetch_keys), leeway_s=settings.leeway_s)

    def close(self) -> None:
        """Close the connections to the provider."""
        self._http.close()

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

    @cached_property
    def _discovered(self) -> dict[str, Any]:
        found = self._get(self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if not isinstance(found, dict) or found.get("issuer") != self.settings.issuer:
            raise ProviderUnavailable(f"{self.settings.issuer} calls itself otherwise; check oidc.issuer")
        return found

    def _endpoint(self, name: str) -> str:
        with self._lock:
            address = self._discovered.get(name)
        if not isinstance(address, str):
            raise ProviderUnavailable(f"{self.settings.issuer} tells no {name}")
        return is_secure(address)

    def _fetch_keys(self) -> Any:
        return self._get(self.settings.jwks_url or self._endpoint("jwks_uri"))

    def _get(self, url: str) -> Any:
        try:
            reply = self._http.get(is_secure(url))
            reply.raise_for_status()
            return reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderUnavailable(
                f"the provider at {urlsplit(url).netloc} does not answer ({type(error).__name__}); try again"
            ) from None

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
        try:
            reply = self._http.post(self._endpoint("token_endpoint"), data=form, auth=secret)
            token = reply.json().get("id_token") if reply.is_success else None
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            raise ProviderUnavailable(
                f"the provider gave no token ({type(error).__name__}); try again"
            ) from None
        if not isinstance(token, str):
            raise Unauthorised("the provider does not vouch for this sign-in; begin again")
        return token


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
