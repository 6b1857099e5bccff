"""Permafrost as a library: `Rag` in this process, `Client` over HTTP, the same verbs and types."""

from rag.sdk.client import Client
from rag.sdk.rag import Rag

__all__ = ["Client", "Rag"]
