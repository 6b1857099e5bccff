"""Every piece of Python in README runs as it stands there, on a real home and a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model
ROOT = Path(__file__).resolve().parents[2]
SNIPPETS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
HERE = "http://127.0.0.1:8000"


@pytest.fixture
def place(tmp_path: Path, handbook: Path) -> Path:
    """A folder to run in: it is the user's own, with the documents that README speaks of."""
    shutil.copytree(handbook, tmp_path / "documents")
    return tmp_path


def title(snippet: str) -> str:
    """The first line that says something of its own."""
    lines = [line for line in snippet.splitlines() if line and not line.startswith(("import", "from"))]
    return re.sub(r"\W+", "-", lines[0])[:40]


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 2


@pytest.mark.parametrize("snippet", SNIPPETS, ids=title)
def test_a_snippet_of_readme_runs(snippet: str, place: Path, server: Any, surroundings: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", snippet.replace(HERE, server.url)],
        cwd=place,
        env=surroundings(place / "kb") | {"HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
