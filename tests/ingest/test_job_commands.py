"""What `rag jobs` does to runs, and what the audit log is told of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingest.commands import jobs
from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from rag.accounts.accounts import Accounts
from rag.errors import NotFound
from rag.store.catalog import Catalog
from rag.store.queue import Listed, Shelf
from rag.types import JobState, Principal

SHELF = Shelf.of(Principal(), "default", ("everyone",), "1")


@pytest.fixture
def context(catalog: Catalog, pipeline: Pipeline) -> Any:
    """The home of the test as the commands open it."""
    system = SimpleNamespace(
        catalog=catalog, settings=pipeline.settings, principal=Principal(), pipeline=lambda: pipeline
    )

    @asynccontextmanager
    async def open_system(*_: Any, **__: Any) -> Any:
        yield system

    return SimpleNamespace(meta={"open_system": open_system, "settings": None})


def told(catalog: Catalog) -> list[tuple[str, str, str]]:
    rows = Accounts(catalog.database, catalog.home).audit.all()
    return [(row.actor, row.action, row.object) for row in rows]


def test_what_is_done_to_a_run_stands_in_the_audit_log(
    context: Any, catalog: Catalog, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    job = pipeline.jobs.start(Principal(), "default", "site", {})
    pipeline.queue.enqueue([Listed("/a", "a")], SHELF, job=job)
    jobs.pause(context, job)
    jobs.priority(context, job, 5)
    jobs.resume(context, job)
    assert pipeline.jobs.get(job, Principal()).priority == 5
    jobs.cancel(context, job)
    assert pipeline.jobs.state(job) is JobState.CANCELLED
    deeds = ["jobs.pause", "jobs.priority", "jobs.resume", "jobs.cancel"]
    assert told(catalog) == [("command line", deed, job) for deed in deeds]
    assert "1 documents were taken back" in capsys.readouterr().out


def test_a_run_that_is_not_there_is_refused_and_leaves_no_trace(context: Any, catalog: Catalog) -> None:
    for turn in (jobs.pause, jobs.cancel, jobs.retry):
        with pytest.raises(NotFound):
            turn(context, "job-x")
    assert told(catalog) == []


def test_trying_all_that_was_set_aside_again_is_one_row(
    context: Any, catalog: Catalog, run: Callable[..., Summary], docs: Path
) -> None:
    (docs / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    assert run(docs).quarantined
    jobs.retry(context, None)
    assert told(catalog) == [("command line", "jobs.retry", jobs.EVERY_JOB)]
