"""A pipeline on a home, for programs that feed it: its database and index opened, and closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ingest.parsing.plugin import Parser
from ingest.pipeline import Pipeline
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.store.generations import Generations
from rag.store.indexes import IndexProcesses


@asynccontextmanager
async def open_pipeline(
    settings: Settings, *, parsers: Mapping[str, str | type[Parser]] | None = None
) -> AsyncIterator[Pipeline]:
    """The pipeline of a home. A server or command that has the same home open shares the index with it.

    `parsers`: classes, or paths as "package.module:Class", by extension or media type. Raises SettingsError
    for one that cannot be named, IndexUnavailable when the database cannot be opened.
    """
    catalog = await asyncio.to_thread(Catalog, settings.home, settings.store.database_url)
    indexes = IndexProcesses(settings, Generations(catalog.database))
    try:
        yield Pipeline(catalog, indexes, settings, parsers=parsers)
    finally:
        await indexes.stop()
        await asyncio.to_thread(catalog.close)
