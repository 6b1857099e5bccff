"""An example: the sources of an ingest.toml as Dagster assets, with their counts as metadata.

    pip install permafrost-rag dagster dagster-webserver
    RAG_HOME=kb RAG_INGEST_TOML=ingest.toml dagster dev -f dagster_sync.py

Each source is an asset of its own, synced when its schedule in the file says so. What fails for a reason that
may pass is tried again. A run of which too many documents were set aside fails at once: to try it again would
not help. Dagster reports its use to its makers unless DAGSTER_DISABLE_TELEMETRY is set.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import dagster as dg

from ingest.declaration import Declared, load, parsers
from ingest.jobs import Summary
from ingest.opening import open_pipeline
from ingest.run import Wanted
from rag.errors import SettingsError
from rag.settings import Settings

FILE = Path(os.environ.get("RAG_INGEST_TOML", "ingest.toml"))
MAX_SET_ASIDE = 0.05  # of the documents that a run had to do
AGAIN = dg.RetryPolicy(max_retries=3, delay=float(os.environ.get("RETRY_S", "10")))


async def synced(declared: Declared) -> Summary:
    """One sync of a source. It shares index and queue with whatever else has this home open."""
    settings = Settings()
    async with open_pipeline(settings, parsers=parsers(FILE)) as pipeline:
        with closing(declared.open(settings.home, settings.ingest.max_file_bytes)) as source:
            return await pipeline.sync(source, Wanted(collection=declared.collection))


def metadata(summary: Summary) -> dict[str, int | float | str]:
    """What Dagster shows beside a run, and draws over time."""
    names = ("new", "changed", "gone", "unchanged", "published", "chunks", "tokens", "seconds", "job")
    return {name: getattr(summary, name) for name in names} | {"set_aside": len(summary.quarantined)}


def asset_of(declared: Declared) -> dg.AssetsDefinition:
    """A source as an asset."""

    @dg.asset(name=declared.name.replace("-", "_"), group_name=declared.collection, retry_policy=AGAIN)
    def source() -> dg.MaterializeResult:
        try:
            summary = asyncio.run(synced(declared))
        except SettingsError as error:  # nobody mends these by waiting
            raise dg.Failure(str(error), allow_retries=False) from None
        shown = metadata(summary)
        if len(summary.quarantined) > MAX_SET_ASIDE * max(1, summary.published + len(summary.quarantined)):
            raise dg.Failure("too many documents were set aside", metadata=shown, allow_retries=False)
        return dg.MaterializeResult(metadata=shown)

    return source


def schedule_of(declared: Declared, asset: dg.AssetsDefinition) -> dg.ScheduleDefinition:
    """The cron line of a source, kept by Dagster instead of `rag ingest --watch`."""
    return dg.ScheduleDefinition(
        name=f"{declared.name.replace('-', '_')}_schedule",
        target=dg.AssetSelection.assets(asset),
        cron_schedule=declared.schedule,
        execution_timezone=declared.timezone,
    )


sources = load(FILE)
assets = [asset_of(each) for each in sources]
schedules = [schedule_of(each, asset) for each, asset in zip(sources, assets, strict=True) if each.schedule]
definitions = dg.Definitions(assets=assets, schedules=schedules)
