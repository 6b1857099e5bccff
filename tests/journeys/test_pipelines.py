"""A source and a parser of one's own, on a real home: in a program, and declared in ingest.toml."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.opening import open_pipeline
from rag.settings import Settings
from rag.types import Principal
from tests.journeys.examples.tickets import TicketParser, TicketSource

pytestmark = [pytest.mark.model, pytest.mark.slow]
TICKET = {
    "id": "7",
    "subject": "No light in room 3",
    "turns": [{"who": "Ada", "said": "The lamp of room 3 is dark since Monday."}],
    "groups": ["everyone"],
    "closed": False,
    "changed": "2026-11-20",
}
DRAWINGS = """
from ingest.parsing.blocks import Block, ParsedDocument

class Drawings:
    def parse(self, data, name):
        return ParsedDocument((Block("text", f"The drawing {name} shows a heron of {data[-1]} mm."),))
"""


def test_the_example_feeds_a_home_that_the_program_then_searches(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    export = tmp_path / "export.json"
    export.write_text(json.dumps([TICKET]))

    async def feed() -> int:
        settings = Settings(home=tmp_path / "kb")
        async with open_pipeline(settings, parsers={".ticket": TicketParser}) as pipeline:
            summary = await pipeline.run(TicketSource(export), principal=Principal())
        return summary.published

    assert asyncio.run(feed()) == 1
    found = command(tmp_path / "kb", "search", "which lamp is dark?", "--json")
    assert "The lamp of room 3 is dark since Monday." in found.stdout


def test_a_parser_of_ingest_toml_lies_beside_it(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/pond.dwg").write_bytes(bytes(range(200)))
    (tmp_path / "drawings.py").write_text(DRAWINGS)
    config = tmp_path / "ingest.toml"
    config.write_text(
        '[parsers]\n".dwg" = "drawings:Drawings"\n\n'
        '[[source]]\nname = "plans"\ntype = "folder"\npaths = ["plans"]\n'
    )
    done = command(tmp_path / "kb", "ingest", "--config", str(config))
    assert done.returncode == 0, done.stderr
    found = command(tmp_path / "kb", "search", "heron", "--json").stdout
    assert "The drawing pond.dwg shows a heron of 199 mm." in found
    config.write_text(config.read_text().replace("drawings:Drawings", "drawing:Drawings"))
    (tmp_path / "plans/lake.dwg").write_bytes(bytes(range(201)))
    done = command(tmp_path / "kb", "ingest", "--config", str(config))
    assert done.returncode == 1
    assert "parser drawing:Drawings cannot be imported" in done.stderr
