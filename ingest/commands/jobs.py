"""`rag jobs`: see what runs and ran, pause, resume or cancel it, put it first, retry what was quarantined."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ingest import declaration
from ingest.commands.deeds import record
from ingest.commands.opening import Json, opened
from ingest.commands.show import details, jobs_table, progress, show
from ingest.commands.work import SOME_MISSING, Work, parsers_of, usual_config
from ingest.jobs import Summary
from ingest.run import Wanted
from rag.store.jobs import Job, Jobs
from rag.store.queue import UPLOADS

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `rag jobs` prints it.")]
Config = Annotated[
    Path | None, typer.Option(help="The file that declares its source; else ingest.toml if it is here.")
]

EVERY_JOB = "all"  # what the audit log calls them
ANYWHERE = ("", UPLOADS)  # sources whose documents any run can fetch
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
def resume(context: typer.Context, job: JobId, config: Config = None) -> None:
    """Let a paused run go on: where it waits, or here when its process has ended."""
    turn(context, job, "resume", Jobs.resume)

    async def go_on() -> tuple[Job, Summary | None]:
        async with opened(context) as system:
            pipeline = system.pipeline()
            found = await asyncio.to_thread(pipeline.jobs.get, job, system.principal)
            if found.alive or found.source not in ANYWHERE:
                return found, None
            await pipeline.reconcile()
            with progress(quiet=False) as listener:
                return found, await pipeline.work(job=job, on_event=listener)

    found, summary = asyncio.run(go_on())
    if summary:
        show(summary)
    elif found.alive:
        typer.echo(f"{job} goes on")
    else:
        read_sources(context, [(found, found.waiting)], config)


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
def retry(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]")] = None,
    config: Config = None,
) -> None:
    """Let quarantined documents wait again, of one run or all, and do them: declared sources are read."""

    async def again() -> tuple[int, list[tuple[Job, int]], Summary | None]:
        async with opened(context) as system:
            pipeline = system.pipeline()
            runs = await asyncio.to_thread(pipeline.jobs.all, system.principal)
            if job:
                runs = [await asyncio.to_thread(pipeline.jobs.get, job, system.principal)]
            count = await asyncio.to_thread(pipeline.queue.retry, job)
            record(system, "jobs.retry", job or EVERY_JOB)
            waiting = await asyncio.to_thread(pipeline.queue.sources_waiting)
            # The newest run of a source tells how it is read.
            newest = {(run.collection, run.source): run for run in reversed(runs) if run.source in waiting}
            declared = [(run, waiting[run.source]) for run in newest.values() if run.source not in ANYWHERE]
            if job and declared:
                return count, declared, None
            with progress(quiet=False) as listener:
                return count, declared, await pipeline.work(on_event=listener)

    count, declared, summary = asyncio.run(again())
    typer.echo(f"{count} documents tried again")
    if summary:
        show(summary)
    read_sources(context, declared, config)


def read_sources(context: typer.Context, runs: Sequence[tuple[Job, int]], config: Path | None) -> None:
    """Read the declared sources of these runs as those did; of others say what waits, and for what.

    Exit status as of `rag ingest`, 3 when a source is not declared here.
    """
    config = config or usual_config()
    known = declaration.load(config) if config else ()
    statuses = []
    for run, waiting in runs:
        declared = [each for each in known if (each.name, each.collection) == (run.source, run.collection)]
        if declared:
            # Readers as that run had them: a source without groups of its own is else read for everyone.
            groups = tuple(run.wanted.get("groups", ("everyone",)))
            wanted = Wanted(groups=groups, labels=tuple(run.wanted.get("labels", ())), priority=run.priority)
            work = Work(context, wanted, [], declared, parsers_of(None, config))
            statuses.append(asyncio.run(work.once(as_json=False)))
        else:
            statuses.append(SOME_MISSING)
            where = f"{config} does not declare it" if config else "there is no ingest.toml here"
            typer.secho(
                f"{waiting} documents wait until source {run.source} is read, and {where}: "
                f"rag ingest --config FILE --source {run.source}",
                fg="yellow",
                err=True,
            )
    if any(statuses):
        raise typer.Exit(min(filter(None, statuses)))


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
