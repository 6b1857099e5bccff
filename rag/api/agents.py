"""The door for agents: MCP at /mcp, and where its callers get their tokens."""

from __future__ import annotations

import asyncio
import importlib

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rag.api.state import Running
from rag.assembly import System
from rag.errors import NotFound
from rag.integrations.library import Library, OwnLibrary

PATH = "/mcp"
router = APIRouter()


class Mcp:
    """Answers MCP requests for the principal that the gate has let in."""

    path = PATH

    def __init__(self, system: System) -> None:
        self.system = system

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self  # as routes of FastAPI do, for the journal
        # It takes a second to import, which most servers never need.
        mcp = await asyncio.to_thread(importlib.import_module, "rag.integrations.mcp")
        await mcp.answer(self.reader, scope, receive, send)

    def reader(self, request: Request | None) -> Library:
        """What the sender of a request may read. Raises Forbidden."""
        assert request is not None
        watched = request.app.state.metrics.watched
        return OwnLibrary(self.system, request.state.principal, watch=watched)


def route(system: System) -> Route:
    """POST /mcp: each request stands for itself, so there is no stream to open with GET."""
    return Route(PATH, Mcp(system), methods=["POST"])


@router.get("/.well-known/oauth-protected-resource")
@router.get("/.well-known/oauth-protected-resource/mcp")
async def resource_metadata(request: Request, system: Running) -> JSONResponse:
    """Who issues the tokens that are taken here (RFC 9728). Not found where no issuer is set."""
    issuer = system.settings.oidc.issuer
    if not issuer:
        raise NotFound("no issuer of tokens is set here (setting oidc.issuer); send an API key")
    return JSONResponse(
        {
            "resource": f"{str(request.base_url).rstrip('/')}{PATH}",
            "resource_name": "Permafrost",
            "authorization_servers": [issuer],
            "scopes_supported": system.settings.oidc.scopes.split(),
            "bearer_methods_supported": ["header"],
        }
    )
