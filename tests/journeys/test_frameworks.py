"""The examples for LlamaIndex and Haystack with the real packages against a real `rag serve`.

    RAG_TEST_FRAMEWORKS=/path/to/another/bin/python pytest -m slow tests/journeys/test_frameworks.py

takes the packages of another Python of the same version, where they are not to be installed here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.model, pytest.mark.slow]
EXAMPLES = Path(__file__).resolve().parent / "examples"
LEAVE = "How many days of paid leave do employees have?"
KINDS = ("found", "sources", "answer", "streamed", "vector")
SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
Told = dict[str, str]


@pytest.fixture(scope="module")
def packages() -> Told:
    """What makes the packages of the named Python importable by this one."""
    other = os.environ.get("RAG_TEST_FRAMEWORKS")
    if not other:
        return {}
    found = subprocess.run([other, "-c", SITE], capture_output=True, text=True, check=True).stdout.strip()
    return {"PYTHONPATH": os.pathsep.join((str(EXAMPLES.parent), found))}


@pytest.fixture
def run(
    surroundings: Any, packages: Told, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str, str], Told]:
    """Run an example that needs a package; what it says, by the word before the colon."""

    def run(example: str, package: str) -> Told:
        environment = surroundings(tmp_path / "kb") | packages | {"HOME": str(tmp_path)}
        known = [sys.executable, "-c", f"import {package}"]
        if subprocess.run(known, env=environment, capture_output=True).returncode:
            pytest.skip(f"{package} is not installed; RAG_TEST_FRAMEWORKS may name a Python that has it")
        server: Any = request.getfixturevalue("server")
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / example), server.url, LEAVE],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        said = [line.partition(": ") for line in done.stdout.splitlines()]
        return {name: text for name, _, text in said if name in KINDS}

    return run


@pytest.mark.parametrize(
    ("example", "package"),
    [("llamaindex_questions.py", "llama_index.llms.openai_like"), ("haystack_questions.py", "haystack")],
    ids=["LlamaIndex", "Haystack"],
)
def test_an_example_searches_asks_streams_and_embeds(
    run: Callable[[str, str], Told], example: str, package: str
) -> None:
    told = run(example, package)
    assert set(told) == set(KINDS)
    assert "28 days" in told["found"] and "Leave" in told["sources"]
    assert "28 days" in told["answer"] and "28 days" in told["streamed"]
    assert told["vector"] == "384 numbers"
