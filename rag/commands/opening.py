"""Where a command finds its knowledge: a server it was told, the running server of the home, the home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rag.api import address
from rag.sdk.client import Client
from rag.sdk.knowledge import Knowledge
from rag.settings import Settings
from rag.terminal import settings_of


@contextmanager
def opened(context: typer.Context) -> Iterator[Knowledge]:
    """What to ask: `--url`, else the running server of this home, else the home itself."""
    settings = settings_of(context)
    if url := context.obj.url:
        with Client(url) as client:
            yield client
    elif url := address.find(settings.home):
        with Client(url, home_key(settings)) as client:
            yield client
    else:
        from rag.sdk.rag import Rag

        with Rag(settings, linger=True) as system:
            yield system


def server_of(context: typer.Context) -> tuple[str, str]:
    """Address and key of the server that answers for this run; empty: none does."""
    if url := context.obj.url:
        return url, os.environ.get("RAG_API_KEY", "")
    settings = settings_of(context)
    url = address.find(settings.home) or ""
    return url, home_key(settings) if url else ""


def home_key(settings: Settings) -> str:
    """What the owner of a home shows to its server."""
    return address.token(settings.home) or settings.server.api_key
