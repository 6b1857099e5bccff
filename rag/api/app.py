"""The ASGI application: routes, and the layers in front of them."""

from __future__ import annotations

import asyncio
from functools import partial

from fastapi import FastAPI

import rag
from rag.accounts.accounts import Accounts
from rag.accounts.authentication import Authentication
from rag.accounts.limits import Buckets
from rag.api import (
    agents,
    audit,
    chat,
    collections,
    completions,
    conversations,
    documents,
    embeddings,
    groups,
    health,
    jobs,
    keys,
    knowledge,
    metrics,
    money,
    pages,
    responses,
    session,
    users,
)
from rag.api.crowd import Crowd
from rag.api.gate import Gate
from rag.api.idempotency import Idempotency
from rag.api.journal import Journal
from rag.api.limits import Turnstile
from rag.api.openapi import describe
from rag.api.problems import handle_errors
from rag.api.shield import Shield
from rag.assembly import System
from rag.conversations.replies import Replies
from rag.observability.metrics import Metrics
from rag.store.revocation import FOLDER, epoch


def create_app(system: System) -> FastAPI:
    """The application that serves one opened system. Whoever opened the system closes it."""
    # The interactive documentation would load scripts from elsewhere; the schema itself stays.
    app = FastAPI(title="Permafrost", version=rag.__version__, docs_url=None, redoc_url=None)
    app.state.system = system
    app.state.metrics = system.metrics or Metrics()
    app.state.closing = asyncio.Event()  # set when the server wants to end: streams without an end stop
    for area in (
        chat,
        completions,
        responses,
        embeddings,
        knowledge,
        collections,
        conversations,
        documents,
        jobs,
        health,
        pages,
        audit,
        money,
        groups,
        keys,
        session,
        users,
        agents,
        metrics,
    ):
        app.include_router(area.router)
    app.router.routes.append(agents.route(system))
    handle_errors(app)
    describe(app)
    # The last one added is the outermost.
    app.state.replies = Replies(system.catalog, partial(epoch, system.settings.home / FOLDER))
    app.add_middleware(Idempotency, replies=app.state.replies)
    guard(app, system)
    app.add_middleware(Crowd, settings=system.settings.server)
    app.add_middleware(Shield)
    app.add_middleware(Journal, metrics=app.state.metrics)
    return app


def guard(app: FastAPI, system: System) -> None:
    """Put the gate in front of the routes, over the accounts in the system's database."""
    settings = system.settings
    accounts = Accounts(system.catalog.database, settings.home, settings.limits)
    authentication = Authentication.of(settings, system.principal, accounts)
    app.state.accounts, app.state.authentication = accounts, authentication
    turnstile = Turnstile(Buckets(settings.limits), accounts.tenants)
    app.add_middleware(Gate, settings=settings.server, authentication=authentication, turnstile=turnstile)
