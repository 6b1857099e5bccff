"""`rag ingest`, `rag status`, `rag rm`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ingest.jobs import Embedded, Event, Listener, Planned, Published, Quarantined, Summary
from rag.errors import NotFound
from rag.types import Document, DocumentState

SOME_QUARANTINED = 3

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands that feed the index."""
    app.command()(ingest)
    app.command()(status)
    app.command("rm")(remove)


def ingest(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    collection: Annotated[str, typer.Option(help="Where the documents belong.")] = "default",
    group: Annotated[list[str] | None, typer.Option(help="Who may read them; repeat for several.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Also try what was quarantined earlier.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the index up to date with files and folders: add, replace, remove what is gone.

    Unchanged content is skipped; after Ctrl-C or a crash the next run goes on where this one was.
    Exit status: 0 every document is live, 1 an error, 2 wrong usage, 3 some documents are quarantined.
    """
    with progress(quiet=as_json) as listener:
        summary = asyncio.run(run(context, paths, collection, group or ["everyone"], retry, listener))
    if as_json:
        typer.echo(json.dumps(asdict(summary), ensure_ascii=False, indent=2))
    else:
        show(summary)
    raise typer.Exit(SOME_QUARANTINED if summary.quarantined else 0)


def status(context: typer.Context, as_json: Json = False) -> None:
    """How many documents are in which state, and why some are quarantined."""
    documents = asyncio.run(known(context))
    counts = {state.value: sum(each.state is state for each in documents) for state in DocumentState}
    set_aside = [each for each in documents if each.state is DocumentState.QUARANTINED]
    if as_json:
        reasons = [{"id": each.id, "uri": each.uri, "reason": each.reason} for each in set_aside]
        chunks = sum(each.chunks for each in documents)
        typer.echo(json.dumps({"states": counts, "chunks": chunks, "quarantined": reasons}, indent=2))
        return
    shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    typer.echo(f"{len(documents)} documents: {shown or 'none yet; rag ingest PATH adds some'}")
    if set_aside:
        table = Table("quarantined", "reason", box=None, header_style="bold")
        for each in set_aside:
            table.add_row(escape(each.uri), escape(each.reason))
        Console().print(table)


def remove(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="PATH|ID", help="A file, a folder, or a document's id.")],
) -> None:
    """Forget documents: they stop answering at once. The files themselves are not touched."""
    count = asyncio.run(forget(context, what))
    typer.echo(f"-{count} documents")


async def run(
    context: typer.Context,
    paths: list[Path],
    collection: str,
    groups: list[str],
    retry: bool,
    listener: Listener,
) -> Summary:
    async with opened(context) as system:
        summary: Summary = await system.pipeline().run(
            paths,
            principal=system.principal,
            collection=collection,
            groups=groups,
            retry=retry,
            on_event=listener,
        )
        return summary


async def known(context: typer.Context) -> list[Document]:
    async with opened(context) as system:
        documents: list[Document] = await asyncio.to_thread(system.catalog.documents, system.principal)
        return documents


async def forget(context: typer.Context, what: str) -> int:
    async with opened(context) as system:
        documents: list[Document] = await asyncio.to_thread(system.catalog.documents, system.principal)
        path = Path(what).expanduser().absolute().as_posix()
        wanted = [
            each.id
            for each in documents
            if each.id == what or each.uri == path or each.uri.startswith(path.rstrip("/") + "/")
        ]
        if not wanted:
            raise NotFound(f"no document {what!r}; rag status --json lists what there is")
        await system.pipeline().remove(wanted)
        return len(wanted)


def opened(context: typer.Context) -> Any:
    """The system of this run; the program that registers these commands says how it is opened."""
    return context.meta["open_system"](context.meta["settings"], generation=False, linger=True)


def show(summary: Summary) -> None:
    """The summary line, then one line per quarantined document."""
    typer.echo(str(summary))
    if summary.chunks:
        rate = summary.chunks / summary.seconds
        typer.secho(f"{summary.chunks} chunks in {summary.seconds:.1f} s ({rate:.1f} chunks/s)", dim=True)
    for uri, reason in summary.quarantined:
        typer.secho(f"  quarantined {uri}: {reason}", fg="yellow", err=True)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Listener]:
    """A progress bar on standard error, and the listener that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents, {task.fields[chunks]} chunks, {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("ingest", total=None, chunks=0, rate="")
        chunks = 0

        def listener(event: Event) -> None:
            nonlocal chunks
            match event:
                case Planned():
                    bar.update(task, total=event.waiting)
                case Embedded():
                    chunks += event.chunks
                    elapsed = bar.tasks[0].elapsed or 1.0
                    bar.update(task, chunks=chunks, rate=f"{chunks / elapsed:.0f}/s")
                case Published() | Quarantined():
                    bar.advance(task)
                case _:
                    pass

        yield listener
