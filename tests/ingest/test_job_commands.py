"""What `rag jobs` does to runs, and what the audit log is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from ingest import declaration
from ingest.commands import jobs
from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from ingest.processing import READING
from ingest.run import Wanted
from rag.accounts.accounts import Accounts
from rag.errors import NotFound
from rag.store.catalog import Catalog
from rag.store.queue import Listed, Shelf
from rag.types import DocumentState, JobState, Principal

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


def test_a_paused_run_whose_process_died_is_done_when_it_was_resumed(
    context: Any, catalog: Catalog, pipeline: Pipeline, docs: Path
) -> None:
    job = pipeline.jobs.start(Principal(), "default", "", {})
    pipeline.queue.enqueue(pipeline.folder([docs]).changes().items, SHELF, job=job)
    jobs.pause(context, job)
    with catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE jobs SET worker = NULL")
    jobs.resume(context, job)
    (found,) = pipeline.jobs.all(Principal())
    assert (found.state, found.error, found.progress["documents"]) == (JobState.DONE, "", 2)


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


DECLARED = """
[[source]]
name = "site"
type = "folder"
paths = ["docs"]
"""


def quarantined(pipeline: Pipeline, docs: Path, groups: tuple[str, ...]) -> str:
    """A run of the declared source that set one document aside, which then becomes readable; its id."""
    (docs / "late.pdf").write_bytes(b"%PDF-1.4 nothing")
    (docs.parent / "ingest.toml").write_text(DECLARED)
    (declared,) = declaration.load(docs.parent / "ingest.toml")
    source = declared.open(pipeline.settings.home, 10**6)
    summary = asyncio.run(pipeline.sync(source, Wanted(groups=groups)))
    assert len(summary.quarantined) == 1
    (docs / "late.pdf").write_text("The bus leaves at nine.")
    return summary.job


@pytest.mark.parametrize("which", ["one", "all"])
def test_what_a_declared_source_set_aside_is_read_at_once_for_the_same_readers(
    context: Any,
    catalog: Catalog,
    pipeline: Pipeline,
    docs: Path,
    which: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = quarantined(pipeline, docs, ("hr",))
    monkeypatch.chdir(docs.parent)
    jobs.retry(context, job if which == "one" else None)
    found = catalog.documents(Principal(groups=("hr",)))
    assert {each.state for each in found} == {DocumentState.LIVE} and len(found) == 3
    assert {tuple(each.groups) for each in found} == {("hr",)}


def test_a_source_that_is_not_declared_here_is_named_with_the_way_to_read_it(
    context: Any, pipeline: Pipeline, docs: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    job = quarantined(pipeline, docs, ("everyone",))
    monkeypatch.chdir(docs)
    with pytest.raises(typer.Exit) as ended:
        jobs.retry(context, job)
    assert ended.value.exit_code == 3
    told = capfd.readouterr().err
    assert "1 documents wait until source site is read" in told
    assert "rag ingest --config FILE --source site" in told


def test_a_paused_run_of_a_declared_source_goes_on_when_it_was_resumed(
    context: Any, catalog: Catalog, pipeline: Pipeline, docs: Path
) -> None:
    (docs.parent / "ingest.toml").write_text(DECLARED)
    shelf = Shelf.of(Principal(), "default", ("everyone",), READING, source="site")
    job = pipeline.jobs.start(Principal(), "default", "site", {})
    pipeline.queue.enqueue(pipeline.folder([docs]).changes().items, shelf, job=job)
    jobs.pause(context, job)
    with catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE jobs SET worker = NULL")
    jobs.resume(context, job, docs.parent / "ingest.toml")
    assert catalog.counts()[DocumentState.LIVE] == 2
