"""Applications on real ports and new databases, without the waits and the work that prove nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import certifi
import pytest
import uvicorn
from sqlalchemy import Engine

from rag.embedding.scale import BUNDLED_NAME
from rag.models.lockfile import entry, locate
from rag.sdk.loop import Loop
from rag.store.database import FILE, REVISION, revision_of
from rag.store.migrations import upgrade as migrations

Listening = Callable[..., AbstractContextManager[str]]


class Server(uvicorn.Server):
    """uvicorn's, which ends when it is done: its own looks ten times a second, and hundreds end here."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.005)
        for server in self.servers:
            await server.wait_closed()


@pytest.fixture(scope="session")
def listening() -> Listening:
    """Serve an application on a free port, on a loop of its own or a given one; a context with its URL."""

    @contextlib.contextmanager
    def listen(app: Any, loop: Loop | None = None) -> Iterator[str]:
        server = Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", access_log=False))
        ended = threading.Event()

        async def serve() -> None:
            try:
                await server.serve()
            finally:
                ended.set()

        with contextlib.ExitStack() as stack:
            running = loop or stack.enter_context(contextlib.closing(Loop()))
            running.begin(serve())
            while not server.started:
                assert not ended.is_set()
                time.sleep(0.002)
            try:
                yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            finally:
                server.should_exit = True
                assert ended.wait(60)

    return listen


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings() -> Iterator[None]:
    """What a developer has set for his own work is no setting of a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("RAG_")]:
            if not name.startswith("RAG_TEST_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority instead of all: each client reads them again, 55 ms of CPU, and meets none here."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
    file = tmp_path_factory.mktemp("trusted") / "one.pem"
    file.write_text(f"{first}{end}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="session", autouse=True)
def migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new SQLite database is a copy of the first: that takes 4 ms of CPU where all migrations take 130.

    Any other is migrated as ever; tests/rag/store/test_database.py imports the migrations themselves.
    """
    upgrade, first = migrations.upgrade, tmp_path_factory.mktemp("migrated")

    def copied(engine: Engine, revision: str) -> None:
        if engine.dialect.name != "sqlite" or revision != REVISION or revision_of(engine, first):
            upgrade(engine, revision)
        elif not (first / FILE).exists():
            upgrade(engine, revision)
            with contextlib.closing(engine.raw_connection()) as made:
                made.execute(f"VACUUM INTO '{first / FILE}'")
        else:
            source, made = sqlite3.connect(first / FILE), engine.raw_connection()
            with contextlib.closing(source), contextlib.closing(made):
                source.backup(made.driver_connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "upgrade", copied)
        yield


@pytest.fixture(scope="session")
def crowded_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedder that knows what the bundled one knows and measures otherwise: one more number, the same for
    all texts, puts unrelated ones at a cosine of .7, as E5 does. Saved by the sentence-transformers of today.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    layer = Dense(384, 385, activation_function=torch.nn.Identity())
    layer.linear.weight.data = torch.eye(385, 384)
    layer.linear.bias.data = torch.tensor([0.0] * 384 + [1.5])
    bundled = SentenceTransformer(str(locate(entry(BUNDLED_NAME))), device="cpu", local_files_only=True)
    folder = tmp_path_factory.mktemp("models") / "crowded-e5-small"
    SentenceTransformer(modules=[*bundled, layer, Normalize()], device="cpu").save(str(folder))
    return folder
