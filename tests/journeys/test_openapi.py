"""The OpenAPI document holds: requests made from it meet no server error, no surprise, no open door."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
def url(tmp_path_factory: pytest.TempPathFactory, listening: Any) -> Iterator[str]:
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
        yield cleanup.enter_context(listening(create_app(system), loop))


@pytest.mark.model
@pytest.mark.timeout(60 * max(EXAMPLES, 10))
def test_requests_made_from_the_document_are_answered_as_it_says(url: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", "20261121"),
            # Two workers that parse at once meet CPython 3.11's "AST constructor recursion depth mismatch".
            *("--header", "Authorization: Bearer s3cret", "--workers", "1", "--request-timeout", "30"),
            # With a store of examples it spends four fifths of the time on shrinking what did not fail.
            *("--generation-database", "none"),
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
