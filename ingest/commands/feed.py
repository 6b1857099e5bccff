"""`rag ingest`, `rag status`, `rag rm`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ingest.commands.deeds import record
from ingest.commands.opening import Json, opened
from ingest.commands.show import cell
from ingest.commands.work import FAILED, INTERRUPTED, Work, chosen, parsers_of
from ingest.erasure import Receipt, erase
from ingest.run import Wanted
from rag.errors import NotFound
from rag.types import Document, DocumentState

RUNNERS = ("local", "ray")


def ingest(
    context: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Sources to read; without paths, ingest.toml if it is here.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Only this source of it; repeat for several.")
    ] = None,
    collection: Annotated[str, typer.Option(help="Where documents of paths belong.")] = "default",
    group: Annotated[list[str] | None, typer.Option(help="Who may read them; repeat for several.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label they get; repeat for several.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Also try what was quarantined earlier.")] = False,
    priority: Annotated[int, typer.Option(help="Documents of a higher one go first.")] = 0,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Believe a source that lists nothing any more.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would do, and the cost.")] = False,
    keep_watch: Annotated[
        bool, typer.Option("--watch", help="Go on: folders when they change, sources by their schedule.")
    ] = False,
    runner: Annotated[str, typer.Option(help="local, or ray for the nodes of a Ray cluster.")] = "local",
    address: Annotated[str, typer.Option(help="Where the Ray cluster is; without it, one here.")] = "",
    as_json: Json = False,
) -> None:
    """Bring the index up to date with files, folders and declared sources: add, replace, remove what is gone.

    Unchanged content is skipped; after Ctrl-C or a crash the next run goes on where this one was.
    Exit status: 0 every document is live, 1 an error, 2 wrong usage, 3 something is quarantined or left out,
    130 Ctrl-C.
    """
    wanted = Wanted(
        collection=collection,
        groups=tuple(group or ["everyone"]),
        labels=tuple(label or ()),
        retry=retry,
        priority=priority,
        allow_empty=allow_empty,
    )
    declared = chosen(paths, config, source)
    named = parsers_of(paths, config)
    if runner not in RUNNERS:
        raise typer.BadParameter(f"no runner {runner!r}; have {', '.join(RUNNERS)}")
    work = Work(context, wanted, paths or [], declared, named, ray=runner == "ray", address=address)
    if dry_run:
        asyncio.run(work.preview(as_json=as_json))
    elif keep_watch:
        asyncio.run(work.watch())
    else:
        raise typer.Exit(once(work, as_json=as_json))


def once(work: Work, *, as_json: bool) -> int:
    """Do it; the exit status."""
    try:
        return asyncio.run(work.once(as_json=as_json))
    except KeyboardInterrupt:
        typer.secho("rag: interrupted; what is published stays, the next run goes on", fg="yellow", err=True)
        return INTERRUPTED


def status(context: typer.Context, as_json: Json = False) -> None:
    """How many documents are in which state, and why some are quarantined."""
    documents = asyncio.run(known(context))
    counts = {state.value: sum(each.state is state for each in documents) for state in DocumentState}
    set_aside = [each for each in documents if each.state is DocumentState.QUARANTINED]
    noted = [each for each in documents if each.warnings]
    if as_json:
        reasons = [{"id": each.id, "uri": each.uri, "reason": each.reason} for each in set_aside]
        warnings = [{"id": each.id, "uri": each.uri, "warnings": each.warnings} for each in noted]
        chunks = sum(each.chunks for each in documents)
        found = {"states": counts, "chunks": chunks, "quarantined": reasons, "warnings": warnings}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    typer.echo(f"{len(documents)} documents: {shown or 'none yet; rag ingest PATH adds some'}")
    for title, rows in (
        ("quarantined", [(each.uri, each.reason) for each in set_aside]),
        ("read with a remark", [(each.uri, "; ".join(each.warnings)) for each in noted]),
    ):
        if rows:
            table = Table(title, "reason", box=None, header_style="bold")
            for uri, reason in rows:
                table.add_row(cell(uri), cell(reason))
            Console().print(table)


def remove(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="PATH|ID", help="A file, a folder, or a document's id.")],
    proof: Annotated[
        bool, typer.Option("--proof", "--json", help="Print what went, and what a look found.")
    ] = False,
) -> None:
    """Forget documents: they stop answering at once. The files themselves are not touched."""
    receipt = asyncio.run(forget(context, what))
    if proof:
        typer.echo(json.dumps(receipt.json(), indent=2, ensure_ascii=False))
    else:
        typer.echo(f"-{len(receipt.documents)} documents")
    if not receipt.complete:
        left = ", ".join(f"{count} {name}" for name, count in receipt.left.items() if count)
        typer.secho(f"rag: something is left ({left}); run rag rm again", fg="red", err=True)
        raise typer.Exit(FAILED)


async def known(context: typer.Context) -> list[Document]:
    async with opened(context) as system:
        documents: list[Document] = await asyncio.to_thread(system.catalog.documents, system.principal)
        return documents


async def forget(context: typer.Context, what: str) -> Receipt:
    async with opened(context) as system:
        documents: list[Document] = await asyncio.to_thread(system.catalog.documents, system.principal)
        path = Path(what).expanduser().absolute().as_posix()
        names = (what, path)
        wanted = [
            each.id
            for each in documents
            if each.id == what
            or each.uri in names
            or each.uri.startswith(tuple(name.rstrip("/") + "/" for name in names))
        ]
        if not wanted:
            raise NotFound(f"no document {what!r}; rag status --json lists what there is")
        receipt = await erase(system.pipeline(), wanted)
        record(system, "documents.delete", *wanted)
        return receipt
