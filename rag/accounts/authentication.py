"""Who a request comes from: the one place where a caller proves it, whatever he shows and wherever."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from rag.accounts.accounts import Accounts
from rag.accounts.keys import PREFIX, USED_EVERY_S, WRONG
from rag.errors import IndexUnavailable, Unauthorised
from rag.settings import ServerSettings, Settings
from rag.types import Principal

if TYPE_CHECKING:
    from rag.accounts.oidc import Provider

COOKIE = "rag_session"
NOTED = 10_000  # keys whose last use is remembered, so that not every request writes it
NOTHING = "show a key as 'Authorization: Bearer KEY', or sign in; rag keys create makes one"


class Authentication:
    """Turns what a request shows into a principal, looked up anew each time, so that a change acts at once.

    As long as there is no key, no `server.api_key` and no provider, every caller is the owner of the home:
    such a server is bound to this machine. `owner_token` is for the owner's own commands.
    """

    def __init__(
        self, settings: ServerSettings, owner: Principal, accounts: Accounts, provider: Provider | None = None
    ) -> None:
        self._settings, self.owner = settings, owner
        self.accounts, self.provider = accounts, provider
        self.owner_token = secrets.token_urlsafe(32)
        # With this prefix browsers take a cookie from this very host only, over TLS: a page of a neighbouring
        # host cannot plant a session of its own.
        self.cookie = f"__Host-{COOKIE}" if settings.public_url.startswith("https:") else COOKIE
        self._guarded = bool(settings.api_key or provider)
        self._noted: dict[str, float] = {}
        self._notes: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, settings: Settings, owner: Principal, accounts: Accounts) -> Authentication:
        """As the settings say. Raises SettingsError for a provider that cannot be used."""
        if not settings.oidc.issuer:
            return cls(settings.server, owner, accounts)
        from rag.accounts.oidc import Provider  # its cryptography takes a while to import

        return cls(settings.server, owner, accounts, Provider(settings.oidc, accounts))

    def close(self) -> None:
        """Close the connections to the provider, if there is one."""
        if self.provider:
            self.provider.close()

    async def principal(self, headers: Headers) -> Principal:
        """Who asks. Raises Unauthorised."""
        shown = credential(headers)
        if shown and self._is_owner(shown):
            return self.owner
        found = await asyncio.to_thread(self._look_up, shown, session_cookie(headers, self.cookie))
        if shown.startswith(PREFIX):
            self._note_use(found.key)
        return found

    def is_open(self) -> bool:
        """Whether everybody who reaches this server is its owner: no key was ever made for it."""
        # A key is never forgotten, so once there is one this stays shut without another look.
        self._guarded = self._guarded or self.accounts.keys.any()
        return not self._guarded

    def _note_use(self, key: str) -> None:
        """Write down that a key is in use, in the background and at most once a minute."""
        now = time.monotonic()
        if self._noted.get(key, -USED_EVERY_S) > now - USED_EVERY_S:
            return
        if len(self._noted) > NOTED:
            self._noted.clear()
        self._noted[key] = now
        task = asyncio.create_task(self._note(key))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _note(self, key: str) -> None:
        with contextlib.suppress(IndexUnavailable):  # whoever asks is answered all the same
            await asyncio.to_thread(self.accounts.keys.used, key)

    def _is_owner(self, shown: str) -> bool:
        """Whether it is the key of the settings, or the token of this run. Both are always compared."""
        ours = (self._settings.api_key, self.owner_token)
        same = [hmac.compare_digest(shown.encode(), each.encode()) for each in ours if each]
        return any(same)

    def _look_up(self, shown: str, cookie: str) -> Principal:
        if shown.startswith(PREFIX):
            return self.accounts.keys.holder(shown)
        if shown and self.provider and shown.count(".") == 2:
            return self.provider.bearer(shown)
        if self.is_open():
            return self.owner
        if cookie and not shown:
            return self.accounts.sessions.holder(cookie)
        raise Unauthorised(WRONG if shown else NOTHING)


def credential(headers: Headers) -> str:
    """The key or token that a request shows, in either header; empty: none. Raises Unauthorised.

    Two headers that disagree are refused: otherwise each part of a system might believe another one.
    """
    found = []
    if authorization := headers.getlist("authorization"):
        scheme, _, key = authorization[0].partition(" ")
        if len(authorization) > 1 or scheme.lower() != "bearer" or not key.strip():
            raise Unauthorised(NOTHING)
        found.append(key.strip())
    found += headers.getlist("x-api-key")
    if len(set(found)) > 1:
        raise Unauthorised("the request shows two different keys; send one")
    return found[0] if found else ""


def session_cookie(headers: Headers, name: str) -> str:
    """The value of our cookie of this name; empty: none."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
