"""What one `rag ingest` does: with paths or sources of ingest.toml, once, on and on, or in preview."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

from ingest import declaration
from ingest.commands.deeds import record
from ingest.commands.opening import opened
from ingest.commands.show import progress, show, show_plan
from ingest.declaration import Declared
from ingest.forecast import forecast, rates
from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from ingest.run import Wanted
from ingest.sources.source import Source
from ingest.watching import watch
from rag.accounts.audit import Result
from rag.cost.rates import rates_of
from rag.errors import RagError, SettingsError

FAILED, SOME_MISSING, INTERRUPTED = 1, 3, 130
INGESTED = "documents.create"  # as the audit log calls uploads too
CONFIG = Path("ingest.toml")


class Work:
    """What one `rag ingest` was asked for: paths given by hand, or declared sources."""

    def __init__(
        self,
        context: typer.Context,
        wanted: Wanted,
        paths: list[Path],
        declared: Sequence[Declared],
        parsers: Mapping[str, str],
        *,
        ray: bool = False,
        address: str = "",
    ) -> None:
        self._context, self._wanted = context, wanted
        self._paths, self._declared, self._parsers = paths, declared, parsers
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
                        with contextlib.suppress(RagError):  # a full disk: what it kept us from says more
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
        return SOME_MISSING if any(each.quarantined or each.left_out for each in summaries) else 0

    async def preview(self, *, as_json: bool) -> None:
        """Print what a run would do and take, source by source. Nothing is changed."""
        async with opened(self._context) as system:
            pipeline = self._own(system)
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
        pipeline = self._own(system)
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

    def _own(self, system: Any) -> Pipeline:
        """The pipeline of this home, with the parsers of ingest.toml."""
        pipeline: Pipeline = system.pipeline()
        if not self._parsers:
            return pipeline
        return Pipeline(pipeline.catalog, pipeline.indexes, pipeline.settings, parsers=self._parsers)

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
    config = config or usual_config()
    if config is None:
        raise typer.BadParameter("give files and folders, or declare sources in ingest.toml")
    declared = declaration.load(config)
    known = {each.name for each in declared}
    if names and (unknown := set(names) - known):
        raise typer.BadParameter(
            f"no source {sorted(unknown)[0]!r} in {config}; have {', '.join(sorted(known))}"
        )
    return tuple(each for each in declared if not names or each.name in names)


def parsers_of(paths: list[Path] | None, config: Path | None) -> dict[str, str]:
    """The parsers that the file of sources names; their modules may lie beside it."""
    config = None if paths else config or usual_config()
    if config is None or not (named := declaration.parsers(config)):
        return {}
    sys.path.append(str(config.absolute().parent))
    return named


def usual_config() -> Path | None:
    """ingest.toml, where there is one."""
    return CONFIG if CONFIG.exists() else None
