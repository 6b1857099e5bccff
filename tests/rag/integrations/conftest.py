"""A real home with documents for two groups, and its application for agents on a real port."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.api import agents, chat, embeddings, knowledge
from rag.api.problems import handle_errors
from rag.assembly import System, open_system
from rag.observability.metrics import Metrics
from rag.sdk.loop import Loop
from rag.settings import Settings
from rag.types import Principal, Right

DOCUMENTS = {
    "everyone": {
        "leave.md": "# Leave\n\nEmployees have 28 days of paid leave a year.\n",
        "parents.md": "# Parents\n\nParental leave is paid for 14 months and is asked for in writing.\n",
        "study.md": "# Study\n\nFive days of study leave are paid after two years of service.\n",
    },
    "board": {"bonus.md": "# Bonus\n\nThe bonus of the Heron project is 75,000 euros.\n"},
}
PEOPLE = {
    "ada": Principal(groups=("everyone", "board"), user="ada"),
    "ben": Principal(groups=("everyone",), user="ben", rights=frozenset({Right.ASK})),
    "nobody": Principal(groups=(), user="nobody", rights=frozenset()),
}


class Introduction:
    """Stands where the gate will be: whoever a request says it is from, it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = dict(scope["headers"]).get(b"x-api-key", b"ben").decode()
            scope.setdefault("state", {})["principal"] = PEOPLE[name]
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Loop, System]]:
    """A system with one document for everyone and one for the board, its loop beside it."""
    folder = tmp_path_factory.mktemp("agents")
    settings = Settings(
        home=folder / "kb",
        ingest={"parse_workers": 1, "timeout_s": 20},
        embedding={"dtype": "float32"},
        store={"min_free_bytes": 1_000_000},
        answering={"tier": "extract"},
    )
    with contextlib.closing(Loop()) as loop, contextlib.ExitStack() as cleanup:
        stack = contextlib.AsyncExitStack()
        cleanup.callback(lambda: loop.run(stack.aclose()))
        system = loop.run(stack.enter_async_context(open_system(settings, generation=False)))
        for group, texts in DOCUMENTS.items():
            (folder / group).mkdir()
            for name, text in texts.items():
                (folder / group / name).write_text(text)
            loop.run(system.ingest([Path(folder / group)], collection=group, groups=(group,)))
        yield loop, system


@pytest.fixture(scope="session")
def serve_agents(listening: Any) -> Any:
    """Serve the doors for agents of a system, on a free port."""

    def served(system: System, loop: Loop) -> contextlib.AbstractContextManager[str]:
        app: Any = FastAPI()
        app.state.system, app.state.metrics = system, Metrics()
        for area in (agents, chat, embeddings, knowledge):
            app.include_router(area.router)
        app.router.routes.append(agents.route(system))
        handle_errors(app)
        app.add_middleware(Introduction)
        found: contextlib.AbstractContextManager[str] = listening(app, loop)
        return found

    return served


@pytest.fixture(scope="session")
def agents_url(home: tuple[Loop, System], serve_agents: Any) -> Iterator[str]:
    loop, system = home
    with serve_agents(system, loop) as url:
        yield url


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What awaited tests of LangChain's run on."""
    return "asyncio"
