"""The official client against the doors for agents on a real port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from rag.settings import OidcSettings

Work = Callable[[Client], Coroutine[Any, Any, Any]]
BONUS = "What is the bonus of the Heron project?"


@pytest.fixture
def as_user(agents_url: str) -> Callable[[str, Work], Any]:
    """Do something with a connected client that shows the key of a person."""

    def run(user: str, work: Work, mode: str = "auto") -> Any:
        async def connected() -> Any:
            async with AsyncExitStack() as stack:
                http = await stack.enter_async_context(
                    httpx2.AsyncClient(headers={"x-api-key": user}, timeout=60, trust_env=False)
                )
                transport = streamable_http_client(f"{agents_url}/mcp", http_client=http)
                return await work(await stack.enter_async_context(Client(transport, mode=mode)))

        return asyncio.run(connected())

    return run


def call(tool: str, **arguments: Any) -> Work:
    """One call of a tool: whether it failed, and what it gave."""

    async def work(client: Client) -> tuple[bool, Any]:
        result = await client.call_tool(tool, arguments)
        return bool(result.is_error), result.structured_content or result.content[0].text

    return work


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_are_listed_with_the_shape_of_what_they_take_and_give(as_user: Any, mode: str) -> None:
    async def work(client: Client) -> Any:
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in as_user("ada", work, mode)}
    assert set(tools) == {"search", "ask", "open_document", "list_collections"}
    assert tools["search"].input_schema["required"] == ["query"]
    assert "citations" in tools["ask"].output_schema["properties"]
    assert all(tool.annotations.read_only_hint for tool in tools.values())


def test_an_answer_comes_with_its_citations(as_user: Any) -> None:
    failed, answer = as_user("ada", call("ask", question=BONUS))
    assert not failed
    assert "75,000 euros" in answer["answer"]
    assert answer["citations"][0]["quote"].endswith("75,000 euros.")
    assert answer["citations"][0]["title"]
    assert answer["outcome"] == "quoted"


def test_each_sees_the_documents_of_the_own_groups_only(as_user: Any) -> None:
    assert as_user("ada", call("list_collections")) == (False, {"collections": ["board", "everyone"]})
    assert as_user("ben", call("list_collections")) == (False, {"collections": ["everyone"]})
    _, hers = as_user("ada", call("search", query="bonus of the Heron project"))
    _, his = as_user("ben", call("search", query="bonus of the Heron project"))
    assert "75,000" in str(hers) and "75,000" not in str(his)
    _, told = as_user("ben", call("ask", question=BONUS))
    assert told["outcome"] == "not_found" and "75,000" not in str(told)

    found = next(each for each in hers["passages"] if "75,000" in each["text"])
    failed, opened = as_user("ada", call("open_document", document_id=found["document_id"]))
    assert (failed, opened["collection"], opened["next"]) == (False, "board", None)
    assert "75,000" in opened["text"]
    failed, refusal = as_user("ben", call("open_document", document_id=found["document_id"]))
    assert failed and "75,000" not in str(refusal)
    assert refusal == as_user("ben", call("open_document", document_id=found["document_id"]))[1]


def test_a_closed_collection_looks_like_one_that_is_not_there(as_user: Any) -> None:
    closed = as_user("ben", call("search", query="bonus", collection="board"))
    missing = as_user("ben", call("search", query="bonus", collection="boars"))
    assert closed[0] and closed[1] == missing[1].replace("boars", "board")


def test_without_the_right_to_ask_nothing_is_given(as_user: Any) -> None:
    failed, told = as_user("nobody", call("search", query="leave"))
    assert failed and "right 'ask'" in told


def test_wrong_arguments_are_told_to_the_model(as_user: Any) -> None:
    assert as_user("ada", call("search", limit=3))[1] == "query: Field required"
    assert as_user("ada", call("search", query="leave", limit=999))[0]


def test_an_unknown_tool_is_an_error_that_names_those_there_are(as_user: Any) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(MCPError, match="have search, ask, open_document, list_collections"):
            await client.call_tool("delete_everything")

    as_user("ada", work, "legacy")


def test_there_is_no_stream_to_open(agents_url: str) -> None:
    assert httpx.get(f"{agents_url}/mcp", trust_env=False).status_code == 405


def test_without_an_issuer_there_is_no_metadata_of_one(agents_url: str) -> None:
    reply = httpx.get(f"{agents_url}/.well-known/oauth-protected-resource", trust_env=False)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_the_metadata_names_the_issuer_of_tokens(home: Any, serve_agents: Any) -> None:
    loop, system = home
    oidc = OidcSettings(issuer="https://id.example.org")
    with serve_agents(
        replace(system, settings=system.settings.model_copy(update={"oidc": oidc})), loop
    ) as url:
        for path in ("", "/mcp"):
            reply = httpx.get(f"{url}/.well-known/oauth-protected-resource{path}", trust_env=False)
            assert reply.json()["authorization_servers"] == ["https://id.example.org"]
            assert reply.json()["resource"] == f"{url}/mcp"
