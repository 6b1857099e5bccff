"""What the command line does to documents stands in the audit log, without what they are called or say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.model, pytest.mark.slow]


def test_what_was_fed_rebuilt_and_removed_by_hand_is_written_down(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    home, file = tmp_path / "kb", tmp_path / "salaries.md"
    file.write_text("# Salaries\n\nThe heron earns 75,000 euros.\n")
    job = json.loads(command(home, "ingest", str(tmp_path / "salaries.md"), "--json").stdout)["job"]
    assert command(home, "reindex", "--force", "--yes").returncode == 0
    receipt = json.loads(command(home, "rm", str(file), "--proof").stdout)
    assert command(home, "ingest", str(tmp_path / "nothing here")).returncode == 1
    log = command(home, "audit", "log", "--json").stdout
    rows = [each for each in json.loads(log) if each["actor"] == "command line"]
    assert [each["action"] for each in rows] == [
        "documents.create",
        "index.build",
        "documents.delete",
        "documents.create",
    ]
    assert (rows[0]["object"], rows[2]["object"]) == (job, receipt["documents"][0]["id"])
    assert [each["outcome"] for each in rows] == ["done", "done", "done", "failed"]
    assert "salaries" not in log.lower() and "heron" not in log
