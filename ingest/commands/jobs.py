"""`rag jobs`: see what runs and ran, pause, resume or cancel it, put it first, retry what was quarantined."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from ingest.commands.deeds import record
from ingest.commands.opening import Json, opened
from ingest.commands.show import details, jobs_table, progress, show
from ingest.jobs import Summary
from rag.store.jobs import Job, Jobs

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `rag jobs` prints it.")]

EVERY_JOB = "all"  # what the audit log calls them
HELP = "Runs of ingestion: see, pause, resume, cancel, retry. One may be put before others."

app = typer.Typer(help=HELP, invoke_without_command=True)


@app.callback()
def overview(context: typer.Context, as_json: Json = False) -> None:
    """Runs of ingestion, newest first."""
    if context.invoked_subcommand is not None:
        return
    found = asyncio.run(all_jobs(context))
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in found], ensure_ascii=False, indent=2))
    elif found:
        Console().print(jobs_table(found))
    else:
        typer.echo("no runs yet; rag ingest PATH starts one")


@app.command("show")
def show_one(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """How far one run is, its stages, and which of them the others wait for."""

    async def look() -> Job:
        async with opened(context) as system:
            found: Job = await asyncio.to_thread(system.pipeline().jobs.get, job, system.principal)
            return found

    found = asyncio.run(look())
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    else:
        typer.echo("\n".join(details(found)))


@app.command()
def pause(context: typer.Context, job: JobId) -> None:
    """Let its documents wait; those in work are finished first."""
    turn(context, job, "pause", Jobs.pause)
    typer.echo(f"{job} is paused; rag jobs resume {job} lets it go on")


@app.command()
def resume(context: typer.Context, job: JobId) -> None:
    """Let a paused run go on: where it waits, or here when its process has ended."""
    turn(context, job, "resume", Jobs.resume)

    async def go_on() -> Summary | None:
        async with opened(context) as system:
            pipeline = system.pipeline()
            found = await asyncio.to_thread(pipeline.jobs.get, job, system.principal)
            if found.alive or found.source:
                return None
            with progress(quiet=False) as listener:
                done: Summary = await pipeline.work(on_event=listener)
                return done

    summary = asyncio.run(go_on())
    if summary:
        show(summary)
    else:
        typer.echo(f"{job} goes on (a run of a declared source: when rag ingest reads that source again)")


@app.command()
def cancel(context: typer.Context, job: JobId) -> None:
    """End a run. What it has published stays; the rest is as it was before."""
    turn(context, job, "cancel", Jobs.cancel)

    async def take_back() -> int:
        async with opened(context) as system:
            count: int = await asyncio.to_thread(system.pipeline().queue.withdraw, job)
            return count

    typer.echo(f"{job} is cancelled; {asyncio.run(take_back())} documents were taken back")


@app.command()
def priority(
    context: typer.Context,
    job: JobId,
    value: Annotated[int, typer.Argument(metavar="PRIORITY", help="A higher one goes first; 0 is usual.")],
) -> None:
    """Let what it has still to do go before, or behind, that of others."""
    turn(context, job, "priority", lambda jobs, name: jobs.prioritise(name, value))
    typer.echo(f"{job} has priority {value}")


@app.command()
def retry(context: typer.Context, job: Annotated[str | None, typer.Argument(metavar="[JOB]")] = None) -> None:
    """Let quarantined documents wait again, of one run or all, and do them."""

    async def again() -> tuple[int, Summary]:
        async with opened(context) as system:
            pipeline = system.pipeline()
            if job:
                await asyncio.to_thread(pipeline.jobs.get, job, system.principal)
            count = await asyncio.to_thread(pipeline.queue.retry, job)
            record(system, "jobs.retry", job or EVERY_JOB)
            with progress(quiet=False) as listener:
                return count, await pipeline.work(on_event=listener)

    count, summary = asyncio.run(again())
    typer.echo(f"{count} documents tried again")
    show(summary)


def turn(context: typer.Context, job: str, deed: str, change: Callable[[Jobs, str], None]) -> None:
    """Change a run of this tenant, and tell the audit log."""

    async def do() -> None:
        async with opened(context) as system:
            jobs: Jobs = system.pipeline().jobs
            await asyncio.to_thread(jobs.get, job, system.principal)
            await asyncio.to_thread(change, jobs, job)
            record(system, f"jobs.{deed}", job)

    asyncio.run(do())


async def all_jobs(context: typer.Context) -> list[Job]:
    async with opened(context) as system:
        found: list[Any] = await asyncio.to_thread(system.pipeline().jobs.all, system.principal)
        return found
