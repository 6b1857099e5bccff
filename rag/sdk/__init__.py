"""Permafrost as a library: `Rag` in this process, `Client` and `AsyncClient` over HTTP, the same verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.sdk.async_client import AsyncClient
    from rag.sdk.client import Client
    from rag.sdk.rag import Rag

__all__ = ["AsyncClient", "Client", "Rag"]


def __getattr__(name: str) -> object:
    """Imported when asked for: a caller of a server need not load what answers."""
    if name == "Client":
        from rag.sdk.client import Client

        return Client
    if name == "AsyncClient":
        from rag.sdk.async_client import AsyncClient

        return AsyncClient
    if name == "Rag":
        from rag.sdk.rag import Rag

        return Rag
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
