"""The main job from the command line: feed, ask, change, feed again, remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model
QUESTION = "How long is the warranty of the Kestrel pump?"


def test_an_answer_follows_its_document_until_that_is_removed(tmp_path: Path, command: Any) -> None:
    home, folder = tmp_path / "kb", tmp_path / "documents"
    folder.mkdir()
    (folder / "pump.md").write_text("# Kestrel pump\n\nThe warranty of the Kestrel pump is 36 months.\n")
    (folder / "lamp.md").write_text("# Heron lamp\n\nThe Heron lamp weighs 2 kilograms.\n")

    done = command(home, "ingest", str(folder))
    assert done.returncode == 0, done.stderr
    assert "+2 new, ~0 changed, -0 gone, 0 unchanged" in done.stdout

    done = command(home, "ask", QUESTION, "--json", "--sources")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "36 months" in answer["answer"]
    assert answer["citations"][0]["title"]
    assert answer["passages"]
    assert answer["egress"] == "nothing left this machine"

    (folder / "pump.md").write_text("# Kestrel pump\n\nThe warranty of the Kestrel pump is 48 months.\n")
    done = command(home, "ingest", str(folder))
    assert "+0 new, ~1 changed, -0 gone, 1 unchanged" in done.stdout

    done = command(home, "ask", QUESTION)
    assert done.returncode == 0, done.stderr
    assert "48 months" in done.stdout
    assert "36 months" not in done.stdout
    assert "\n[1] " in done.stdout
    assert " tokens · " in done.stdout

    done = command(home, "rm", str(folder / "pump.md"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(command(home, "ask", QUESTION, "--json").stdout)
    assert answer["outcome"] == "not_found"
    assert "48 months" not in answer["answer"]


def test_a_chat_keeps_what_was_said_and_shows_its_sources(filled: Path, command: Any) -> None:
    done = command(
        filled,
        "chat",
        "--tier",
        "extract",
        standard_input="How much is the Drill D20?\nAnd its warranty?\n",
    )
    assert done.returncode == 0, done.stderr
    first, _, second = done.stdout.partition("nothing left this machine")
    assert "129 euros" in first and "\n[1] " in first
    assert "24 months" in second
