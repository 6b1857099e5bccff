"""What a run does to the catalog and the index."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.commands.show import details
from ingest.jobs import Event, Parsed, Planned, Published, Restored, Summary, Tally
from ingest.pipeline import Pipeline
from rag.errors import DiskFull, NotFound, SettingsError, SourceError, WorkerDied
from rag.store.catalog import Catalog
from rag.store.tables import chunks
from rag.types import DocumentState, Principal

Run = Callable[..., Summary]
LOOPS = "Too many levels of symbolic links"


@pytest.fixture(autouse=True)
def files_that_are_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise whatever was written in the last two seconds is read again by the next run."""
    monkeypatch.setattr("ingest.sources.folder.RACY_NS", 0)


def counts(summary: Summary) -> tuple[int, int, int, int, int]:
    return (summary.new, summary.changed, summary.gone, summary.unchanged, len(summary.quarantined))


def test_a_folder_is_indexed_and_every_point_has_its_chunk(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    assert counts(run(docs)) == (2, 0, 0, 0, 0)
    assert len(catalog.passages(list(vectors.points), Principal())) == len(vectors.points) == 2
    texts = sorted(text for _, text in vectors.points.values())
    assert texts[1] == "Leave\nEmployees have 28 days of paid leave a year."


def test_a_repeated_run_changes_nothing(run: Run, docs: Path, vectors: Any) -> None:
    run(docs)
    before, upserts = dict(vectors.points), vectors.upserts
    assert counts(run(docs)) == (0, 0, 0, 2, 0)
    assert (vectors.points, vectors.upserts) == (before, upserts)


def test_changed_content_replaces_and_vanished_content_is_removed(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    run(docs)
    (docs / "leave.md").write_text("# Leave\n\nEmployees have 30 days of paid leave a year.\n")
    (docs / "travel.txt").unlink()
    assert counts(run(docs)) == (0, 1, 1, 0, 0)
    assert [text for _, text in vectors.points.values()] == [
        "Leave\nEmployees have 30 days of paid leave a year."
    ]
    assert catalog.hidden_versions() == []


def test_a_file_outside_the_given_folder_is_not_gone(run: Run, docs: Path, tmp_path: Path) -> None:
    run(docs)
    other = tmp_path / "other"
    other.mkdir()
    (other / "note.txt").write_text("Another folder.")
    assert counts(run(other)) == (1, 0, 0, 0, 0)
    assert counts(run(docs / "leave.md")) == (0, 0, 0, 1, 0)


def test_a_bad_document_is_set_aside_with_a_reason_and_named_again(run: Run, docs: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 8)
    (docs / "empty.txt").write_bytes(b"")
    summary = run(docs)
    assert counts(summary) == (4, 0, 0, 0, 2)
    reasons = {Path(uri).name: reason for uri, reason in summary.quarantined}
    assert reasons["empty.txt"] == "the file is empty"
    assert "cannot be opened" in reasons["broken.pdf"]
    assert str(summary).startswith("+4 new, ~0 changed, -0 gone, 0 unchanged, 2 quarantined: ")
    assert counts(run(docs)) == (0, 0, 0, 2, 2)
    (docs / "empty.txt").write_text("Not empty any more.")
    assert counts(run(docs)) == (0, 1, 0, 2, 1)


def test_a_change_that_cannot_be_read_leaves_the_old_version_live(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    run(docs)
    before = set(vectors.points)
    (docs / "leave.md").write_bytes(b"\x00\x01\x02\x03" * 100)
    assert len(run(docs).quarantined) == 1
    assert set(vectors.points) == before
    states = {document.state for document in catalog.documents(Principal())}
    assert states == {DocumentState.LIVE, DocumentState.QUARANTINED}
    assert len(catalog.passages(list(before), Principal())) == 2


def test_points_that_nobody_knows_are_deleted_and_lost_ones_made_again(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    run(docs)
    lost = next(iter(vectors.points))
    del vectors.points[lost]
    vectors.points["stranger"] = (999, "from another life")
    run(docs)
    assert "stranger" not in vectors.points
    assert asyncio.run(vectors.versions()) == catalog.live_versions()


def test_an_emptied_index_is_filled_from_the_catalog_without_a_look_at_any_file(
    run: Run, docs: Path, tmp_path: Path, catalog: Catalog, vectors: Any
) -> None:
    """Also where the source cannot be reached any more: reading again would have removed the documents."""
    run(docs)
    before, vectors.points = vectors.points, {}
    docs.rename(tmp_path / "not mounted")
    (tmp_path / "other").mkdir()
    events: list[Event] = []
    summary = run(tmp_path / "other", on_event=events.append)
    assert (summary.restored, summary.published, summary.resumed) == (2, 0, 0)
    assert vectors.points == before
    assert [event.total for event in events if isinstance(event, Restored)] == [2, 2]
    assert not any(isinstance(event, Parsed) for event in events)
    assert catalog.counts()[DocumentState.LIVE] == 2
    assert "2 chunks put back into the index" in str(summary)


def test_a_document_of_which_the_catalog_lost_text_too_is_read_again(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    run(docs)
    vectors.points.clear()
    with catalog.database.writing() as connection:
        connection.execute(chunks.delete().where(chunks.c.text.contains("28 days")))
    summary = run(docs)
    assert (summary.restored, summary.published, summary.resumed) == (1, 1, 1)
    assert sorted(text for _, text in vectors.points.values())[1].startswith("Leave\nEmployees have 28 days")
    assert asyncio.run(vectors.versions()) == catalog.live_versions()


def test_what_cannot_be_listed_is_left_out_with_its_reason_and_the_job_remembers_it(
    run: Run, docs: Path, pipeline: Pipeline
) -> None:
    (docs / "round").symlink_to("round")
    summary = run(docs)
    assert counts(summary) == (2, 0, 0, 0, 0)
    ((uri, reason),) = summary.left_out
    assert uri == f"{docs}/round" and reason == LOOPS
    assert str(summary).endswith(f"1 left out: {LOOPS}")
    job = pipeline.jobs.get(summary.job, Principal())
    assert (job.quarantined, job.progress["quarantined"]) == (0, 0)
    assert f"  left out {docs}/round: {LOOPS}" in list(details(job))


def test_what_was_set_aside_earlier_does_not_count_as_done_now(run: Run, docs: Path) -> None:
    (docs / "empty.txt").write_bytes(b"")
    run(docs)
    tally = Tally()
    run(docs, on_event=tally)
    assert (len(tally.quarantined), tally.done) == (1, 0)


def test_an_index_that_dies_over_a_document_sets_it_aside_after_three_times(
    run: Run, docs: Path, vectors: Any
) -> None:
    (docs / "travel.txt").unlink()
    vectors.failures = [WorkerDied("the index process died")] * 3
    ((_, reason),) = run(docs).quarantined
    assert reason == "3 attempts failed, the last with: the index process died"


def test_a_death_now_and_then_is_survived(run: Run, docs: Path, vectors: Any) -> None:
    vectors.failures = [WorkerDied("the index process died")] * 2
    assert counts(run(docs)) == (2, 0, 0, 0, 0)
    assert len(vectors.points) == 2


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    vectors.failures = [DiskFull("100 MB free")]
    with pytest.raises(DiskFull):
        run(docs)
    assert catalog.counts()[DocumentState.PENDING] >= 1
    run(docs)
    assert catalog.counts()[DocumentState.LIVE] == 2


def test_a_setting_that_decides_about_chunks_asks_for_a_new_generation(
    run: Run, docs: Path, pipeline: Pipeline
) -> None:
    run(docs)
    ingest = pipeline.settings.ingest.model_copy(update={"chunk_tokens": 128})
    pipeline.settings = pipeline.settings.model_copy(update={"ingest": ingest})
    with pytest.raises(SettingsError, match="chunk_tokens 256, now 128.*rag reindex"):
        run(docs)


def test_a_file_that_was_only_touched_is_not_indexed_again(run: Run, docs: Path, vectors: Any) -> None:
    run(docs)
    before = dict(vectors.points)
    os.utime(docs / "leave.md", (1, 1))
    assert counts(run(docs)) == (0, 0, 0, 2, 0)
    assert vectors.points == before


def test_a_folder_that_is_suddenly_empty_is_not_believed(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    for number in range(10):
        (docs / f"{number}.txt").write_text(f"Room {number} has {number + 3} chairs.")
    run(docs)
    for file in docs.iterdir():
        file.unlink()
    with pytest.raises(SourceError, match="nothing is listed where 12 documents were.*--allow-empty"):
        run(docs)
    assert len(catalog.live_versions()) == 12
    assert run(docs, allow_empty=True).gone == 12
    assert vectors.points == {}


def test_new_readers_need_no_new_vectors(run: Run, docs: Path, catalog: Catalog, vectors: Any) -> None:
    run(docs)
    upserts = vectors.upserts
    summary = run(docs, groups=("board",))
    assert (summary.regrouped, summary.published, vectors.upserts) == (2, 0, upserts)
    assert set(vectors.rights.values()) == {(("board",), ())}
    assert catalog.documents(Principal()) == []
    assert len(catalog.passages(list(vectors.points), Principal(groups=("board",)))) == 2


def test_leftovers_of_other_folders_are_done_not_forgotten(
    run: Run, docs: Path, tmp_path: Path, vectors: Any, catalog: Catalog
) -> None:
    vectors.failures = [DiskFull("100 MB free")]
    with pytest.raises(DiskFull):
        run(docs)
    other = tmp_path / "other"
    other.mkdir()
    (other / "note.txt").write_text("Another folder.")
    run(other)
    assert catalog.counts()[DocumentState.LIVE] == 3


def test_events_tell_the_plan_before_the_work(run: Run, docs: Path) -> None:
    events: list[Event] = []
    run(docs, on_event=events.append)
    assert isinstance(events[0], Planned)
    assert (events[0].new, events[0].waiting) == (2, 2)
    assert sum(isinstance(event, Published) for event in events) == 2


def test_removing_and_replacing_take_the_kv_of_answers_with_them(
    run: Run, docs: Path, catalog: Catalog, pipeline: Pipeline
) -> None:
    def computed() -> Path:
        block = pipeline.settings.home / "kv" / "build" / "block.kv"
        block.parent.mkdir(parents=True, exist_ok=True)
        block.write_bytes(b"keys and values of a passage")
        return block

    run(docs)
    block = computed()
    run(docs)
    assert block.exists(), "nothing changed, so nothing had to go"
    (docs / "leave.md").write_text("# Leave\n\nEmployees have 30 days of paid leave a year.\n")
    run(docs)
    assert not block.exists()
    block = computed()
    asyncio.run(pipeline.remove([document.id for document in catalog.documents(Principal())]))
    assert not block.exists()


def test_removing_deletes_points_and_chunks(
    run: Run, docs: Path, catalog: Catalog, vectors: Any, pipeline: Pipeline
) -> None:
    run(docs)
    asyncio.run(pipeline.remove([document.id for document in catalog.documents(Principal())]))
    assert vectors.points == {}
    assert catalog.documents(Principal()) == []


def test_a_path_that_does_not_exist_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such-folder"):
        run(tmp_path / "no-such-folder")
