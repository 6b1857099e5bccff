"""An agent starts `rag mcp` as a program, and the official client talks to it over the pipe."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

pytestmark = pytest.mark.model
LEAVE = "How many days of paid leave do employees have?"


async def asked(environment: dict[str, str], *options: str) -> tuple[set[str], Any, Any]:
    """The tools, the answer to LEAVE, and the document it cites, over a fresh pipe."""
    program = StdioServerParameters(
        command=sys.executable, args=["-m", "rag.cli", *options, "mcp"], env=environment
    )
    async with Client(program, read_timeout_seconds=120) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        answer = (await client.call_tool("ask", {"question": LEAVE})).structured_content
        assert answer
        cited = answer["citations"][0]["document_id"]
        opened = (await client.call_tool("open_document", {"document_id": cited})).structured_content
    return tools, answer, opened


def check(tools: set[str], answer: Any, opened: Any) -> None:
    assert tools == {"search", "ask", "open_document", "list_collections"}
    assert "28 days" in answer["answer"]
    assert answer["citations"][0]["quote"] in opened["text"]
    assert answer["egress"] == "nothing left this machine"


@pytest.mark.slow
def test_a_home_is_served_over_a_pipe(filled: Path, surroundings: Any) -> None:
    check(*asyncio.run(asked(surroundings(filled) | {"RAG_ANSWERING_TIER": "extract"})))


def test_a_server_is_served_over_a_pipe(server: Any, tmp_path: Path, surroundings: Any) -> None:
    here = surroundings(tmp_path / "no home") | {"RAG_URL": server.url}
    check(*asyncio.run(asked(here)))
    assert not (tmp_path / "no home").exists()
