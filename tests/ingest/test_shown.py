"""Names as the feeding commands print them: they are what others chose to call their files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from ingest.commands.show import cell, pace, show, state_of
from ingest.jobs import Summary
from ingest.run import INTERRUPTED
from rag.store.jobs import Job
from rag.types import JobState


def test_a_name_is_neither_markup_nor_emoji_nor_an_order_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("name", box=None)
    table.add_row(cell("a:x:[b]\x1b[2J.txt"))
    Console(width=80).print(table)
    assert "a:x:[b]?[2J.txt" in capsys.readouterr().out
    show(Summary(quarantined=(("a\x1b[2J.pdf", "the file is empty"),)))
    assert "quarantined a?[2J.pdf: the file is empty" in capsys.readouterr().err
    reason = "a\x1b[2J.txt may not be read"
    show(Summary(quarantined=(("a", reason),), left_out=(("b", reason),)))
    assert "\x1b" not in "".join(capsys.readouterr())


def test_a_run_that_ended_early_is_interrupted_and_has_no_time_to_go() -> None:
    progress = {"seconds": 20.0, "chunks": 2, "waiting": 998, "eta_s": 9800.0, "bottleneck": "parse"}
    fields: dict[str, Any] = {
        "id": "job-1",
        "tenant": "t",
        "collection": "c",
        "source": "",
        "priority": 0,
        "wanted": {},
    }
    fields |= {"plan": {}, "created_at": 0.0, "waiting": 998, "quarantined": 0}
    early = Job(
        **fields, state=JobState.FAILED, progress=progress, error=INTERRUPTED, finished_at=1.0, alive=False
    )
    assert (state_of(early), pace(early)) == ("interrupted", "0.1 chunks/s")
    running = replace(early, state=JobState.RUNNING, error="", finished_at=None, alive=True)
    assert (state_of(running), "2.7 h to go" in pace(running)) == ("running", True)
