"""`rag ingest`, `rag status`, `rag rm`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingest import declaration
from ingest.commands.deeds import record
from ingest.commands.show import progress, show
from ingest.declaration import Declared
from ingest.erasure import Receipt, erase
from ingest.forecast import Forecast, forecast, rates
from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from ingest.run import Wanted
from ingest.sources.source import Changes, Source
from ingest.watching import watch
from rag.accounts.audit import Result
from rag.cost.rates import rates_of
from rag.errors import NotFound, RagError, SettingsError
from rag.store.plan import Plan
from rag.types import Document, DocumentState

FAILED, SOME_QUARANTINED = 1, 3
INGESTED = "documents.create"  # as the audit log calls uploads too
CONFIG = Path("ingest.toml")
RUNNERS = ("local", "ray")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    Exit status: 0 every document is live, 1 an error, 2 wrong usage, 3 some documents are quarantined.
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
    if runner not in RUNNERS:
        raise typer.BadParameter(f"no runner {runner!r}; have {', '.join(RUNNERS)}")
    work = Work(context, wanted, paths or [], declared, ray=runner == "ray", address=address)
    if dry_run:
        asyncio.run(work.preview(as_json=as_json))
    elif keep_watch:
        asyncio.run(work.watch())
    else:
        raise typer.Exit(asyncio.run(work.once(as_json=as_json)))


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
                table.add_row(escape(uri), escape(reason))
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


class Work:
    """What one `rag ingest` was asked for: paths given by hand, or declared sources."""

    def __init__(
        self,
        context: typer.Context,
        wanted: Wanted,
        paths: list[Path],
        declared: Sequence[Declared],
        *,
        ray: bool = False,
        address: str = "",
    ) -> None:
        self._context, self._wanted = context, wanted
        self._paths, self._declared = paths, declared
        self._ray, self._address = ray, address

    async def once(self, *, as_json: bool) -> int:
        """Every source once; one that fails does not keep the others from their turn. The exit status."""
        summaries: list[Summary] = []
        failed = False
        async with opened(self._context) as system, self._pipeline(system) as pipeline:
            with progress(quiet=as_json) as listener:
                for name, source, wanted in self._sources(pipeline):
                    try:
                        with closing(source):
                            summaries.append(await pipeline.sync(source, wanted, on_event=listener))
                        record(system, INGESTED, summaries[-1].job)
                    except RagError as error:
                        record(system, INGESTED, name, outcome=Result.FAILED)
                        if not name:
                            raise
                        failed = True
                        typer.secho(f"rag: source {name}: {error}", fg="red", err=True)
        if as_json:
            shown: Any = [asdict(each) for each in summaries] if self._declared else asdict(summaries[0])
            typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        else:
            for summary in summaries:
                show(summary)
        if failed:
            return FAILED
        return SOME_QUARANTINED if any(each.quarantined for each in summaries) else 0

    async def preview(self, *, as_json: bool) -> None:
        """Print what a run would do and take, source by source. Nothing is changed."""
        async with opened(self._context) as system:
            pipeline = system.pipeline()
            jobs = await asyncio.to_thread(pipeline.jobs.all, system.principal)
            held = sum(system.catalog.live_versions().values())
            speed = rates(jobs, pipeline.settings.home, held)
            for name, source, wanted in self._sources(pipeline):
                with closing(source):
                    plan, changes = await pipeline.preview(source, wanted)
                todo = [*plan.new, *plan.changed, *(plan.quarantined if wanted.retry else ())]
                size = sum(item.size_bytes for item in todo)
                expected = forecast(
                    len(todo), size, speed, rates_of(pipeline.settings.hardware, pipeline.settings.cost)
                )
                show_plan(name, plan, changes, expected, system.catalog.documents(system.principal), as_json)

    async def watch(self) -> None:
        """Until Ctrl-C: a source is read when it changes or when its time has come."""
        async with opened(self._context) as system, self._pipeline(system) as pipeline:

            async def run(source: Source, wanted: Wanted) -> None:
                summary = await pipeline.sync(source, wanted)
                if summary.new or summary.changed or summary.gone or summary.regrouped:
                    record(system, INGESTED, summary.job)
                    show(summary)

            await watch(list(self._sources(pipeline)), self._declared, run, tell=typer.echo)

    @asynccontextmanager
    async def _pipeline(self, system: Any) -> AsyncIterator[Pipeline]:
        """The pipeline of this machine, or one that works on a Ray cluster. Raises SettingsError."""
        pipeline: Pipeline = system.pipeline()
        if not self._ray:
            yield pipeline
            return
        try:
            from ingest.runners.ray import distributed
        except ImportError:
            raise SettingsError("--runner ray needs Ray: pip install 'permafrost-rag[ray]'") from None
        async with distributed(pipeline.settings, pipeline.indexes, address=self._address) as spread:
            yield Pipeline(
                pipeline.catalog,
                spread.indexes,
                pipeline.settings,
                runner=spread.runner,
                at_once=spread.at_once,
            )

    def _sources(self, pipeline: Pipeline) -> list[tuple[str, Source, Wanted]]:
        if not self._declared:
            return [("", pipeline.folder(self._paths), self._wanted)]
        limit, home = pipeline.settings.ingest.max_file_bytes, pipeline.settings.home
        return [
            (each.name, each.open(home, limit), replace(self._wanted, collection=each.collection))
            for each in self._declared
        ]


def chosen(paths: list[Path] | None, config: Path | None, names: list[str] | None) -> tuple[Declared, ...]:
    """The declared sources of this run; none when paths were given. Raises BadParameter."""
    if paths:
        if config or names:
            raise typer.BadParameter("give either paths or --config, not both")
        return ()
    config = config or (CONFIG if CONFIG.exists() else None)
    if config is None:
        raise typer.BadParameter("give files and folders, or declare sources in ingest.toml")
    declared = declaration.load(config)
    known = {each.name for each in declared}
    if names and (unknown := set(names) - known):
        raise typer.BadParameter(
            f"no source {sorted(unknown)[0]!r} in {config}; have {', '.join(sorted(known))}"
        )
    return tuple(each for each in declared if not names or each.name in names)


def show_plan(
    name: str, plan: Plan, changes: Changes, expected: Forecast, documents: list[Document], as_json: bool
) -> None:
    """The difference between a source and the catalog, and what it will take to make it good."""
    uris = {document.id: document.uri for document in documents}
    difference = {
        "new": [item.uri for item in plan.new],
        "changed": [item.uri for item in plan.changed],
        "regrouped": [item.uri for item in plan.regrouped],
        "gone": [uris.get(document_id, document_id) for document_id in plan.gone],
    }
    if as_json:
        counts = {"unchanged": len(plan.unchanged), "quarantined": len(plan.quarantined)}
        found = {"source": name, **difference, **counts, "problems": changes.problems}
        typer.echo(json.dumps({**found, "forecast": asdict(expected)}, ensure_ascii=False, indent=2))
        return
    if name:
        typer.secho(name, bold=True)
    for sign, kind in (("+", "new"), ("~", "changed"), ("=", "regrouped"), ("-", "gone")):
        for uri in difference[kind]:
            typer.echo(f"{sign} {uri}")
    for uri, reason in changes.problems:
        typer.secho(f"! {uri}: {reason}", fg="yellow")
    typer.echo(f"{len(plan.unchanged)} unchanged, {len(plan.quarantined)} quarantined")
    typer.secho(str(expected), dim=True)


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


def opened(context: typer.Context) -> Any:
    """The system of this run; the program that registers these commands says how it is opened."""
    return context.meta["open_system"](context.meta["settings"], generation=False, linger=True)
