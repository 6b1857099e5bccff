"""`rag serve`, `rag mcp`, `rag doctor`: the home offered to others, and looked at."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from rag.commands.opening import server_of
from rag.terminal import echo_json, settings_of


def register(app: typer.Typer) -> None:
    """Add the commands that serve."""
    for command in (serve, mcp, doctor):
        app.command()(command)


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on [server.host].")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0 takes a free one [server.port].")
    ] = None,
) -> None:
    """Answer over HTTP: chat page, OpenAI-compatible API, search.

    Ctrl-C finishes what runs, then ends.
    """
    from rag.api.server import serve as serve_until_signal

    settings = settings_of(context)
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"server": settings.server.model_copy(update=changes)})
    asyncio.run(
        serve_until_signal(settings, announce=lambda url: print(f"Permafrost answers at {url}", flush=True))
    )


def mcp(context: typer.Context) -> None:
    """Serve agents over a pipe (MCP): search, ask, open a document.

    A program such as an editor starts this and talks to it over standard input and output. It acts as the
    owner of the home, or with RAG_API_KEY on the server at --url.
    """
    from rag.integrations.library import opened
    from rag.integrations.mcp import serve_pipe

    async def until_closed() -> None:
        async with opened(settings_of(context), *server_of(context)) as library:
            await serve_pipe(library)

    asyncio.run(until_closed())


def doctor(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Look at Python, CPU, disk, models, the llama.cpp build and the index.

    Exit status 1 if one is wrong.
    """
    from rag.doctor import Finding, examine

    async def report() -> list[Finding]:
        findings = []
        async for finding in examine(settings_of(context)):
            findings.append(finding)
            if not as_json:
                typer.echo(f"{'ok ' if finding.good else 'BAD'}  {finding.what:<28} {finding.detail}")
        return findings

    found = asyncio.run(report())
    if as_json:
        echo_json([asdict(finding) for finding in found])
    raise typer.Exit(0 if all(finding.good for finding in found) else 1)
