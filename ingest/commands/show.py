"""What the feeding commands print: a bar while it goes on, a summary at the end, tables of jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ingest.forecast import Forecast, duration
from ingest.jobs import (
    Embedded,
    Enqueued,
    Event,
    Listener,
    Planned,
    Published,
    Quarantined,
    Restored,
    Summary,
    Tally,
    Unchanged,
)
from ingest.run import INTERRUPTED
from ingest.sources.source import Changes
from rag.store.jobs import Job
from rag.store.plan import Plan
from rag.types import Document, JobState
from rag.visible import visible


@contextmanager
def progress(*, quiet: bool) -> Iterator[Listener]:
    """A progress bar on standard error, and the listener that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents, {task.fields[chunks]} chunks, {task.fields[rate]}{task.fields[slow]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("ingest", total=None, chunks=0, rate="", slow="")
        mirror = Tally()

        def listener(event: Event) -> None:
            mirror(event)
            match event:
                case Restored():
                    bar.update(task, description=f"index: {mirror.restored} of {event.total} chunks put back")
                case Planned():
                    bar.update(task, description="ingest", total=event.waiting)
                case Enqueued():
                    bar.update(task, total=(bar.tasks[0].total or 0) + event.parts)
                case Embedded():
                    elapsed = bar.tasks[0].elapsed or 1.0
                    chunks = mirror.embedded
                    slow = f", waiting for {mirror.bottleneck}" if mirror.bottleneck else ""
                    bar.update(task, chunks=chunks, rate=f"{chunks / elapsed:.0f}/s", slow=slow)
                case Published() | Quarantined(earlier=False) | Unchanged():
                    bar.advance(task)
                case _:
                    pass

        yield listener


def show(summary: Summary) -> None:
    """The summary line, then one line for everything that was quarantined or left out."""
    # A reason may name a file.
    typer.echo(visible(str(summary)))
    if summary.chunks:
        rate = summary.chunks / summary.seconds
        slow = f", most of the time in {summary.bottleneck}" if summary.bottleneck else ""
        typer.secho(
            f"{summary.chunks} chunks in {summary.seconds:.1f} s ({rate:.1f} chunks/s){slow}", dim=True
        )
    if summary.stopped:
        typer.secho(f"  {summary.job} was {summary.stopped}", fg="yellow", err=True)
    for job, count in summary.waiting:
        typer.secho(
            f"  {count} documents wait in {job}, which is paused: rag jobs resume {job}",
            fg="yellow",
            err=True,
        )
    for uri, reason in summary.quarantined:
        typer.secho(f"  quarantined {visible(uri)}: {visible(reason)}", fg="yellow", err=True)
    for uri, reason in summary.left_out:
        typer.secho(f"  left out {visible(uri)}: {visible(reason)}", fg="yellow", err=True)


def cell(text: str) -> Text:
    """A name in a table as it is: nothing in it is markup or an emoji."""
    return Text(visible(text))


def jobs_table(jobs: Sequence[Job]) -> Table:
    """Runs, newest first, with how far each is."""
    table = Table("job", "state", "source", "collection", "done", "waiting", "quarantined", "rate", box=None)
    for column in (0, 1, 4, 5, 6):
        table.columns[column].no_wrap = True
        table.columns[column].min_width = len(str(table.columns[column].header))
    for job in jobs:
        table.add_row(
            job.id,
            state_of(job),
            cell(job.source or "paths"),
            cell(job.collection),
            str(job.progress.get("documents", 0)),
            str(job.waiting),
            str(job.quarantined),
            pace(job),
        )
    return table


def state_of(job: Job) -> str:
    """The state of a run in one word; one that ended before its time is interrupted, not failed."""
    if not job.alive and (job.state is JobState.RUNNING or job.error == INTERRUPTED):
        return "interrupted"
    return str(job.state)


def pace(job: Job) -> str:
    """How fast a run is or was; while it goes on, what it waits for and when it will be through."""
    progress = job.progress
    if not progress.get("seconds") or not progress.get("chunks"):
        return ""
    rate = f"{progress['chunks'] / progress['seconds']:.1f} chunks/s"
    if not job.alive or not progress.get("waiting"):
        return rate
    eta = f", {duration(progress['eta_s'])} to go" if progress.get("eta_s") else ""
    return f"{rate}, waiting for {progress['bottleneck']}{eta}"


def details(job: Job) -> Iterator[str]:
    """One run, line by line."""
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.created_at))
    yield f"{job.id}: {state_of(job)}, started {started}, collection {job.collection}"
    if job.error:
        yield f"  {job.error}"
    if job.plan:
        shown = ("new", "changed", "regrouped", "unchanged", "gone", "retried", "resumed")
        yield "  plan: " + ", ".join(f"{job.plan[name]} {name}" for name in shown if job.plan.get(name))
    if progress := job.progress:
        yield (
            f"  {progress['documents']} documents, {progress['chunks']} chunks, {progress['tokens']} tokens, "
            f"{job.quarantined} quarantined, {job.waiting} waiting"
        )
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in progress["stages"].items())
        yield f"  {stages} ({progress['workers']} readers); {pace(job) or 'nothing embedded'}"
        for uri, reason in progress.get("left_out", {}).items():
            yield f"  left out {visible(uri)}: {visible(reason)}"


def show_plan(
    name: str, plan: Plan, changes: Changes, expected: Forecast, documents: list[Document], as_json: bool
) -> None:
    """The difference between a source and the catalog, and what it will take to make it good."""
    problems = (*changes.problems, *plan.problems())
    uris = {document.id: document.uri for document in documents}
    difference = {
        "new": [item.uri for item in plan.new],
        "changed": [item.uri for item in plan.changed],
        "regrouped": [item.uri for item in plan.regrouped],
        "gone": [uris.get(document_id, document_id) for document_id in plan.gone],
    }
    if as_json:
        counts = {"unchanged": len(plan.unchanged), "quarantined": len(plan.quarantined)}
        found = {"source": name, **difference, **counts, "problems": problems}
        typer.echo(json.dumps({**found, "forecast": asdict(expected)}, ensure_ascii=False, indent=2))
        return
    if name:
        typer.secho(name, bold=True)
    for sign, kind in (("+", "new"), ("~", "changed"), ("=", "regrouped"), ("-", "gone")):
        for uri in difference[kind]:
            typer.echo(f"{sign} {visible(uri)}")
    for uri, reason in problems:
        typer.secho(f"! {visible(uri)}: {visible(reason)}", fg="yellow")
    typer.echo(f"{len(plan.unchanged)} unchanged, {len(plan.quarantined)} quarantined")
    typer.secho(str(expected), dim=True)
