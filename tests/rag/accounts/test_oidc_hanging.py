"""A provider that hangs, trickles or floods: who does not need it now notices nothing, others hear soon."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rag.accounts import oidc, tokens
from rag.accounts.accounts import Accounts
from rag.accounts.oidc import Provider
from rag.accounts.tokens import AGAIN_S, Keyring
from rag.errors import ProviderUnavailable
from rag.settings import OidcSettings


@contextlib.contextmanager
def trickling() -> Iterator[str]:
    """The address of a server whose head of an answer never ends, one byte after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                line, _ = listener.accept()
                with line:
                    line.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not over.wait(0.02):
                        line.sendall(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        over.set()
        with contextlib.suppress(OSError), socket.create_connection(listener.getsockname(), 1):
            pass
        thread.join()


@pytest.fixture
def made(idp: Any, accounts: Accounts) -> Iterator[Callable[..., Provider]]:
    with contextlib.ExitStack() as opened:

        def make(**settings: Any) -> Provider:
            known = {"issuer": idp.issuer, "client_id": "permafrost", **settings}
            provider = Provider(OidcSettings(**known), accounts)
            opened.callback(provider.close)
            return provider

        yield make


def test_an_answer_that_trickles_in_is_cut_short(
    made: Any, idp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "ANSWER_S", 0.3)
    with trickling() as address:
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable, match="does not answer"):
            made(jwks_url=address).bearer(idp.token())
        assert time.monotonic() - began < 30


def test_an_answer_of_any_size_is_not_read(made: Any, idp: Any) -> None:
    listed = idp.jwks()
    idp.jwks = lambda: {**listed, "more": "x" * oidc.LARGEST_BYTES}
    with pytest.raises(ProviderUnavailable, match="does not answer"):
        made().bearer(idp.token())


def test_an_answer_nested_without_end_breaks_nothing(made: Any, idp: Any) -> None:
    def nested(self: Any, status: int, body: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "200000")
        self.end_headers()
        self.wfile.write(b"[" * 200_000)

    idp.server.RequestHandlerClass.reply = nested
    with pytest.raises(ProviderUnavailable):
        made().begin("http://127.0.0.1/callback")


class Hanging:
    """Keys that are told at the first asking; at the second one waits until the test says otherwise."""

    def __init__(self, idp: Any) -> None:
        self.idp, self.now, self.asked = idp, 0.0, 0
        self.goes_on, self.waits = threading.Event(), threading.Event()
        self.keyring = Keyring(self.fetch, clock=lambda: self.now)

    def fetch(self) -> Any:
        self.asked += 1
        if self.asked > 1:
            self.waits.set()
            assert self.goes_on.wait(60)
        return self.idp.jwks()


@pytest.fixture
def hanging(idp: Any) -> Iterator[Hanging]:
    """A keyring that a stranger has just made ask, with a key id of his own."""
    found = Hanging(idp)
    found.keyring.key("first", "RS256")
    found.now += AGAIN_S + 1

    def knock() -> None:
        with contextlib.suppress(Exception):
            found.keyring.key("of a stranger", "RS256")

    thread = threading.Thread(target=knock)
    thread.start()
    assert found.waits.wait(60)
    yield found
    found.goes_on.set()
    thread.join()


def in_time(step: Callable[[], Any]) -> Any:
    """What a step gives, done aside: a failure must not hang the test."""

    async def wait() -> Any:
        async with asyncio.timeout(60):
            return await asyncio.to_thread(step)

    return asyncio.run(wait())


def test_a_stranger_who_makes_us_ask_holds_up_nobody_with_a_known_key(hanging: Hanging) -> None:
    assert in_time(lambda: hanging.keyring.key("first", "RS256")).key_id == "first"
    assert not hanging.goes_on.is_set()


def test_who_needs_a_new_key_meanwhile_waits_a_moment_only(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "BUSY_S", 0.05)
    with pytest.raises(ProviderUnavailable, match="slow to tell its keys"):
        in_time(lambda: hanging.keyring.key("new", "RS256"))
    assert hanging.asked == 2


def test_sign_ins_wait_in_threads_of_their_own(made: Any) -> None:
    provider, goes_on = made(), threading.Event()

    async def crowd() -> float:
        waiting = [asyncio.create_task(provider.aside(goes_on.wait, 60)) for _ in range(40)]
        await asyncio.sleep(0)
        began = time.monotonic()
        await asyncio.to_thread(lambda: None)
        seconds = time.monotonic() - began
        goes_on.set()
        await asyncio.gather(*waiting)
        return seconds

    assert asyncio.run(crowd()) < 30
