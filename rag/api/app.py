"""The ASGI application: routes, and the three layers in front of them."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

import rag
from rag.accounts.authentication import Authentication
from rag.api import chat, completions, documents, embeddings, health, jobs, knowledge, pages, responses
from rag.api.gate import Gate
from rag.api.journal import Journal
from rag.api.openapi import describe
from rag.api.problems import handle_errors
from rag.api.shield import Shield
from rag.assembly import System


def create_app(system: System) -> FastAPI:
    """The application that serves one opened system. Whoever opened the system closes it."""
    # The interactive documentation would load scripts from elsewhere; the schema itself stays.
    app = FastAPI(title="Permafrost", version=rag.__version__, docs_url=None, redoc_url=None)
    app.state.system = system
    app.state.closing = asyncio.Event()  # set when the server wants to end: streams without an end stop
    for area in (chat, completions, responses, embeddings, knowledge, documents, jobs, health, pages):
        app.include_router(area.router)
    handle_errors(app)
    describe(app)
    # The last one added is the outermost.
    server = system.settings.server
    app.add_middleware(Gate, settings=server, authentication=Authentication(server, system.principal))
    app.add_middleware(Shield)
    app.add_middleware(Journal)
    return app
