"""How a route reaches the running system."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from rag.assembly import System


def system_of(request: Request) -> System:
    """The system this application serves."""
    system: System = request.app.state.system
    return system


def closing_of(request: Request) -> asyncio.Event:
    """Set when the server wants to end."""
    closing: asyncio.Event = request.app.state.closing
    return closing
