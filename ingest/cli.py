"""The commands that feed the index: `rag ingest`, `status`, `rm`, `jobs`, `duplicates`, `reindex`."""

from __future__ import annotations

import typer

from ingest.commands import feed, index, jobs, similar


def register(app: typer.Typer) -> None:
    """Add the commands that feed the index."""
    app.command()(feed.ingest)
    app.command()(feed.status)
    app.command("rm")(feed.remove)
    app.add_typer(jobs.app, name="jobs")
    app.command()(similar.duplicates)
    app.command()(index.reindex)
