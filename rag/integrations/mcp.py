"""Permafrost for agents: an MCP server with the tools of tools.py, over HTTP and over a pipe."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

import rag
from rag.errors import RagError
from rag.integrations.library import Library
from rag.integrations.tools import TOOLS, AgentTool

INSTRUCTIONS = (
    "Permafrost answers from the organisation's own documents. `ask` gives a cited answer, `search` gives "
    "passages, `open_document` gives more of a document. Keep the citations when you pass an answer on."
)
# It tells of every session, which over HTTP is every request.
logging.getLogger("mcp").setLevel(logging.WARNING)

Reader = Callable[[Request | None], Library]


def server(reader: Reader) -> Server[Any]:
    """A server whose calls act on `reader(request)`; the request is None over a pipe."""

    async def list_tools(context: Any, asked: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[described(tool) for tool in TOOLS])

    async def call_tool(context: Any, asked: CallToolRequestParams) -> CallToolResult:
        found = next((tool for tool in TOOLS if tool.name == asked.name), None)
        if found is None:
            known = ", ".join(tool.name for tool in TOOLS)
            raise MCPError(INVALID_PARAMS, f"no tool {asked.name[:100]!r}; have {known}")
        try:
            result = await found.run(reader(context.request), asked.arguments or {})
        except RagError as error:
            # An error of a tool is a result that the model may read and act on.
            return CallToolResult(content=[TextContent(type="text", text=error.message)], is_error=True)
        return CallToolResult(
            content=[TextContent(type="text", text=result.model_dump_json())],
            structured_content=result.model_dump(mode="json"),
        )

    made = Server(
        "permafrost",
        version=rag.__version__,
        title="Permafrost",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    # Spans are our own, with our own choice of attributes.
    made.middleware.clear()
    return made


def described(tool: AgentTool) -> Tool:
    """A tool as clients list it."""
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.result.model_json_schema(),
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


async def answer(reader: Reader, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request. Nothing is kept between requests, so any process may take the next one."""
    manager = StreamableHTTPSessionManager(server(reader), json_response=True, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)


async def serve_pipe(library: Library) -> None:
    """Serve standard input and output until the client closes them."""
    offered = server(lambda request: library)
    async with stdio_server() as (incoming, outgoing):
        await offered.run(incoming, outgoing, offered.create_initialization_options())
