"""How a route reaches the running system."""

from __future__ import annotations

from starlette.requests import Request

from rag.assembly import System


def system_of(request: Request) -> System:
    """The system this application serves."""
    system: System = request.app.state.system
    return system
