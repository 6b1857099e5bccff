"""/metrics of a real system, read over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.api import documents, metrics
from rag.api.journal import Journal
from rag.api.problems import handle_errors
from rag.assembly import System, open_system
from rag.observability.metrics import Metrics
from rag.settings import Settings
from rag.types import Principal, Right

READER = Principal(user="ben", rights=frozenset({Right.ASK}))


class Introduction:
    """Stands where the gate will be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_reader = (b"x-user", b"ben") in scope["headers"]
        scope.setdefault("state", {})["principal"] = READER if is_reader else Principal()
        await self.app(scope, receive, send)


def application(system: System) -> FastAPI:
    app = FastAPI()
    app.state.system, app.state.metrics = system, Metrics()
    app.include_router(metrics.router)
    app.include_router(documents.router)
    handle_errors(app)
    app.add_middleware(Introduction)
    app.add_middleware(Journal, metrics=app.state.metrics)
    return app


@contextlib.asynccontextmanager
async def opened(home: Path) -> AsyncIterator[tuple[System, httpx.AsyncClient]]:
    settings = Settings(home=home, store={"min_free_bytes": 1_000_000}, embedding={"dtype": "float32"})
    async with open_system(settings, generation=False) as system:
        transport = httpx.ASGITransport(application(system))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            yield system, http


@pytest.mark.model
def test_a_scrape_tells_what_there_is_and_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "canary.md").write_text("# Canary\n\nThe canary of Nordwind Tools is yellow.\n")

    async def scrape() -> tuple[str, Any]:
        async with opened(tmp_path / "kb") as (system, http):
            await system.ingest([tmp_path / "canary.md"], collection="aviary", groups=("keepers",))
            for path in ("/v1/documents/canary-1", "/canary", "/v1/documents"):
                await http.get(path)
            await http.request("CANARY", "/v1/documents")
            reply = await http.get("/metrics")
            return reply.text, system.generator

    text, generator = asyncio.run(scrape())
    assert 'permafrost_documents{state="live"} 1.0' in text
    assert "permafrost_index_points 1.0" in text
    assert 'permafrost_jobs{state="done"} 1.0' in text
    assert 'permafrost_up{part="index"} 1.0' in text
    assert (
        'permafrost_requests_total{method="GET",route="/v1/documents/{document_id}",status="404"} 1.0' in text
    )
    assert 'permafrost_requests_total{method="GET",route="unknown",status="404"} 1.0' in text
    for name in ("canary", "CANARY", "aviary", "keepers", "Nordwind"):
        assert name not in text
    # To be counted, the model was not started.
    assert 'part="engine' not in text and generator.worker.pid is None


def test_who_may_not_operate_the_server_gets_no_numbers(tmp_path: Path) -> None:
    async def scrape() -> httpx.Response:
        async with opened(tmp_path / "kb") as (_, http):
            return await http.get("/metrics", headers={"x-user": "ben"})

    reply = asyncio.run(scrape())
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "permission_denied")
