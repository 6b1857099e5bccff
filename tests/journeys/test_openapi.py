"""The OpenAPI document holds: requests made from it meet no server error, no surprise, no open door."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from rag.api.app import create_app
from rag.assembly import open_system
from rag.sdk.loop import Loop
from rag.settings import Settings

EXAMPLES = int(os.environ.get("RAG_TEST_EXAMPLES", "5"))  # for each operation; nightly 2,000
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
)
DOCUMENT = "# Leave\n\nEmployees have 28 days of paid leave a year.\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real system behind a key, with one document and without a model."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "leave.md").write_text(DOCUMENT)
    settings = Settings(
        home=tmp_path_factory.mktemp("home"),
        server={"api_key": "s3cret", "max_body_bytes": 2_000_000},
        limits={"refusals_per_minute": 0},
        answering={"tier": "extract"},
        store={"min_free_bytes": 1_000_000},
        embedding={"dtype": "float32"},
    )
    with contextlib.closing(Loop()) as loop, contextlib.ExitStack() as cleanup:
        stack = contextlib.AsyncExitStack()
        cleanup.callback(lambda: loop.run(stack.aclose()))
        system = loop.run(stack.enter_async_context(open_system(settings, generation=False)))
        loop.run(system.ingest([folder]))
        config = uvicorn.Config(create_app(system), port=0, log_config=None, lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        loop.begin(server.serve())
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        while server.servers[0].is_serving():
            time.sleep(0.01)


@pytest.mark.model
@pytest.mark.timeout(60 * max(EXAMPLES, 10))
def test_requests_made_from_the_document_are_answered_as_it_says(url: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", "20261121"),
            *("--header", "Authorization: Bearer s3cret", "--workers", "2", "--request-timeout", "30"),
            # Uploads and endless event streams have tests of their own.
            *("--exclude-path-regex", "/events$", "--phases", "examples,coverage,fuzzing,stateful"),
            *("--warnings", "off", "--continue-on-failure", "--suppress-health-check", "all"),
        ],
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("form_fields.py"))},
        capture_output=True,
        text=True,
    )
    told = [line[:300] for line in (ran.stdout + ran.stderr).splitlines()]
    assert ran.returncode == 0, "\n".join(told)
