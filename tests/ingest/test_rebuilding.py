"""A generation is built beside the one that answers, and takes its place when it is whole."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from ingest.rebuilding import Rebuild
from rag.errors import BadRequest, Overloaded, SettingsError
from rag.store.catalog import Catalog
from rag.types import DocumentState, Principal

Run = Callable[..., Summary]


def want(pipeline: Pipeline, tokens: int) -> None:
    """Change a setting that decides what chunks are."""
    ingest = pipeline.settings.ingest.model_copy(update={"chunk_tokens": tokens})
    pipeline.settings = pipeline.settings.model_copy(update={"ingest": ingest})


def rebuild(pipeline: Pipeline, **options: Any) -> Summary:
    return asyncio.run(Rebuild(pipeline).run(**options))


def test_the_new_generation_answers_and_the_old_one_is_kept(
    run: Run, docs: Path, pipeline: Pipeline, indexes: Any, catalog: Catalog
) -> None:
    (docs / "long.txt").write_text("A sentence of some length stands here for the reader. " * 30)
    run(docs)
    before = dict(indexes.all[1].points)
    want(pipeline, 64)
    assert Rebuild(pipeline).due() == ["chunk_tokens 256, now 64"]
    summary = rebuild(pipeline)
    assert (summary.published, summary.quarantined) == (3, ())
    assert indexes.all[1].points == before
    assert len(indexes.all[2].points) > len(before)
    assert set(catalog.passages(list(indexes.all[2].points), Principal())) == set(indexes.all[2].points)
    assert (run(docs).unchanged, Rebuild(pipeline).due(force=True)) == (3, [])


def test_nothing_is_built_without_a_reason(run: Run, docs: Path, pipeline: Pipeline, indexes: Any) -> None:
    run(docs)
    with pytest.raises(BadRequest, match="--force"):
        rebuild(pipeline)
    assert rebuild(pipeline, force=True).published == 2
    assert set(indexes.all) == {1, 2}


def test_a_killed_build_goes_on_where_it_was(
    run: Run, docs: Path, pipeline: Pipeline, indexes: Any, catalog: Catalog
) -> None:
    run(docs)
    want(pipeline, 64)
    second = indexes.of(
        pipeline.generations.build({**pipeline.generations.live({}).recipe, "chunk_tokens": 64})
    )
    second.failures = [KeyboardInterrupt()]
    with pytest.raises(BaseException):  # noqa: B017
        rebuild(pipeline)
    second.failures, done = [], second.upserts
    rebuild(pipeline)
    assert second.upserts - done <= 2
    assert asyncio.run(second.versions()) == catalog.live_versions()


def test_while_it_is_built_the_old_index_is_still_fed(run: Run, docs: Path, pipeline: Pipeline) -> None:
    run(docs)
    want(pipeline, 64)
    with pytest.raises(SettingsError):
        run(docs)
    recipe = {**pipeline.generations.live({}).recipe, "chunk_tokens": 64}
    pipeline.generations.build(recipe)
    (docs / "late.txt").write_text("Written while the new index was built.")
    assert run(docs).new == 1
    assert rebuild(pipeline).published == 3


def test_a_document_whose_file_is_gone_does_not_hold_it_up(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog
) -> None:
    run(docs)
    (docs / "travel.txt").unlink()
    want(pipeline, 64)
    ((uri, reason),) = rebuild(pipeline).quarantined
    assert uri.endswith("travel.txt")
    assert reason == "its file was gone when the index was built anew"
    assert catalog.counts()[DocumentState.QUARANTINED] == 1
    assert len(catalog.live_versions()) == 1


def test_going_back_is_one_step_and_changes_since_then_wait(
    run: Run, docs: Path, pipeline: Pipeline, indexes: Any, catalog: Catalog
) -> None:
    run(docs)
    want(pipeline, 64)
    rebuild(pipeline)
    (docs / "leave.md").write_text("# Leave\n\nEmployees have 30 days of paid leave a year.\n")
    run(docs)
    _, waiting = pipeline.generations.go_back()
    assert waiting == 1
    want(pipeline, 256)
    run(docs)
    texts = {text for _, text in indexes.all[1].points.values()}
    assert "Leave\nEmployees have 30 days of paid leave a year." in texts
    assert not any("28 days" in text for text in texts)
    assert asyncio.run(indexes.all[1].versions()) == catalog.live_versions()


def test_a_third_generation_drops_the_first_with_its_index(
    run: Run, docs: Path, pipeline: Pipeline, indexes: Any
) -> None:
    run(docs)
    for tokens in (64, 128):
        want(pipeline, tokens)
        rebuild(pipeline)
    assert set(indexes.all) == {2, 3}


def test_two_processes_do_not_build_at_once(run: Run, docs: Path, pipeline: Pipeline) -> None:
    run(docs)
    want(pipeline, 64)
    with (pipeline.settings.home / "rebuild.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Overloaded, match="another process"):
            rebuild(pipeline)
