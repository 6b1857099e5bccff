"""Who connects without TLS does not read the certificates of this machine first: that takes 55 ms of CPU."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from rag.cost.energy_sources import HttpMeter
from rag.engine.address import Address
from rag.engine.remote import RemoteGenerator
from rag.routing.chat_server import ChatServer
from rag.sdk import AsyncClient, Client

OPENED: dict[str, Callable[[str], object]] = {
    "Client": Client,
    "AsyncClient": AsyncClient,
    "remote": lambda url: RemoteGenerator(Address(url)),
    "external": lambda url: ChatServer(Address(url), model="any", key="k"),
    "meter": lambda url: HttpMeter(url).read(),
}


@pytest.mark.parametrize(("scheme", "read"), [("http", False), ("https", True)])
@pytest.mark.parametrize("name", OPENED)
def test_certificates_are_read_where_there_is_one_to_check(
    name: str, scheme: str, read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    plain = ssl.create_default_context

    def counted(*given: Any, **named: Any) -> ssl.SSLContext:
        reads.append(name)
        return plain(*given, **named)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    OPENED[name](f"{scheme}://127.0.0.1:1")
    assert bool(reads) is read
