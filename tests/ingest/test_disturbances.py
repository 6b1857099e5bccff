"""What others do to documents while a run has them in work, and what sources do to a run."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.jobs import Event, Published, Summary
from ingest.pipeline import Pipeline
from ingest.rebuilding import Rebuild
from ingest.run import Wanted
from ingest.sources.folder import FolderSource
from rag.errors import DiskFull, Forbidden, IndexUnavailable, SourceError
from rag.store.catalog import Catalog
from rag.store.plan import Listed, Shelf
from rag.types import DocumentState, JobState, Principal

Run = Callable[..., Summary]
Deed = Callable[[], Any]


@pytest.fixture(autouse=True)
def files_that_are_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.sources.folder.RACY_NS", 0)


@pytest.fixture
def while_fetched(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Deed], None]:
    """Do something, once, while the bytes of a file are fetched."""

    def arrange(name: str, deed: Deed) -> None:
        fetch, deeds = FolderSource.fetch, [deed]

        def disturbed(self: FolderSource, uri: str, into: Path) -> Path:
            if uri.endswith(name) and deeds:
                deeds.pop()()
            return fetch(self, uri, into)

        monkeypatch.setattr(FolderSource, "fetch", disturbed)

    return arrange


@pytest.fixture
def while_embedded(vectors: Any) -> Callable[[str, Deed], None]:
    """Do something, once, when the first chunks of a text are about to be written."""

    def arrange(words: str, deed: Deed) -> None:
        upsert, deeds = vectors.upsert, [deed]

        async def disturbed(version: int, *, chunks: Any, **others: Any) -> Any:
            if any(words in each["text"] for each in chunks) and deeds:
                await asyncio.to_thread(deeds.pop())
            return await upsert(version, chunks=chunks, **others)

        vectors.upsert = disturbed

    return arrange


def shelf(*groups: str, source: str = "") -> Shelf:
    return Shelf.of(Principal(), "default", groups or ("everyone",), "4", source=source)


def id_of(path: Path) -> str:
    return shelf().document_id(path.as_posix())


def state(catalog: Catalog, path: Path) -> DocumentState | None:
    found = catalog.document(id_of(path), Principal(groups=("everyone", "board")))
    return found.state if found else None


def test_a_document_that_is_deleted_while_it_is_embedded_stays_so_and_the_run_goes_on(
    run: Run, docs: Path, catalog: Catalog, vectors: Any, pipeline: Pipeline, while_embedded: Any
) -> None:
    while_embedded("Hotels", lambda: asyncio.run(pipeline.remove([id_of(docs / "travel.txt")])))
    assert run(docs).published == 1
    assert state(catalog, docs / "travel.txt") is None
    assert [text for _, text in vectors.points.values()] == [
        "Leave\nEmployees have 28 days of paid leave a year."
    ], "nothing of it is left in the index"


def test_a_document_that_was_written_for_nobody_leaves_no_point(
    run: Run, docs: Path, catalog: Catalog, vectors: Any, while_embedded: Any
) -> None:
    """Others deleted what there was of it before the last of it came."""

    def delete_and_forget() -> None:
        catalog.remove(id_of(docs / "travel.txt"))
        catalog.forget(catalog.retired_versions())

    while_embedded("Hotels", delete_and_forget)
    run(docs)
    assert not any("Hotels" in text for _, text in vectors.points.values())


@pytest.mark.parametrize("moment", ["fetched", "embedded"])
def test_readers_that_change_while_a_document_is_in_work_are_those_in_the_index(
    moment: str,
    run: Run,
    docs: Path,
    catalog: Catalog,
    vectors: Any,
    pipeline: Pipeline,
    while_fetched: Any,
    while_embedded: Any,
) -> None:
    def open_to_the_board() -> None:
        item = Listed((docs / "travel.txt").as_posix(), "")
        pipeline.queue.regroup([item], shelf("everyone", "board"))

    arrange, what = {"fetched": (while_fetched, "travel.txt"), "embedded": (while_embedded, "Hotels")}[moment]
    arrange(what, open_to_the_board)
    run(docs)
    document = catalog.document(id_of(docs / "travel.txt"), Principal(groups=("board",)))
    assert document
    assert vectors.rights[document.version] == (("board", "everyone"), ())


def test_a_run_does_not_publish_into_a_generation_that_was_replaced(
    run: Run, docs: Path, catalog: Catalog, pipeline: Pipeline, while_embedded: Any, indexes: Any
) -> None:
    run(docs)
    (docs / "travel.txt").write_text("Hotels are paid up to 200 euros a night.\n")
    (docs / "leave.md").unlink()
    while_embedded("200 euros", lambda: asyncio.run(Rebuild(pipeline).run(force=True)))
    with pytest.raises(IndexUnavailable, match="generation 2 of the index went live meanwhile; ingest again"):
        run(docs)
    (live,) = catalog.live_versions()
    assert live in {version for version, _ in indexes.all[2].points.values()}, "what answers can be found"
    assert state(catalog, docs / "travel.txt") is DocumentState.PENDING
    run(docs)
    assert state(catalog, docs / "travel.txt") is DocumentState.LIVE
    assert any("200 euros" in text for _, text in indexes.all[2].points.values())


@pytest.mark.parametrize("error", [SourceError("the share is away"), Forbidden("it may not be read")])
def test_a_file_that_cannot_be_had_does_not_hold_a_rebuild_up(
    error: Exception, run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog, while_fetched: Any
) -> None:
    def fail() -> None:
        raise error

    run(docs)
    while_fetched("travel.txt", fail)
    summary = asyncio.run(Rebuild(pipeline).run(force=True))
    assert summary.quarantined == (((docs / "travel.txt").as_posix(), str(error)),)
    assert summary.published == 1


def test_readers_that_change_while_the_index_is_built_anew_are_those_in_the_new_one(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog, indexes: Any, while_fetched: Any
) -> None:
    run(docs)
    travel = Listed((docs / "travel.txt").as_posix(), "")
    while_fetched("travel.txt", lambda: pipeline.queue.regroup([travel], shelf("everyone", "board")))
    asyncio.run(Rebuild(pipeline).run(force=True))
    document = catalog.document(id_of(docs / "travel.txt"), Principal(groups=("board",)))
    assert document
    assert indexes.all[2].rights[document.version] == (("board", "everyone"), ())


def test_what_a_source_would_not_give_is_asked_for_again_by_the_next_run(
    run: Run, docs: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(_self: Any, uri: str, into: Path) -> Path:
        raise SourceError("the share is away")

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "fetch", dead)
        assert len(run(docs).quarantined) == 2
    assert (run(docs).published, run(docs).unchanged) == (2, 2)


def test_a_disk_without_room_for_what_is_fetched_ends_the_run_and_blames_no_document(
    docs: Path, pipeline: Pipeline, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Any, uri: str, into: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "fetch", full)
        with pytest.raises(DiskFull, match="no space is left in .*: free some, and ingest again"):
            asyncio.run(pipeline.run([docs], principal=Principal()))
    assert catalog.counts()[DocumentState.PENDING] == 2


def test_a_document_that_is_refused_is_tried_once_and_told_at_once(
    run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(_self: Any, uri: str, into: Path) -> Path:
        asked.append(uri)
        raise Forbidden("it may not be read by this user")

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "fetch", refuse)
        assert {reason for _, reason in run(docs).quarantined} == {"it may not be read by this user"}
        assert (len(run(docs).quarantined), len(asked)) == (2, 2)
    (docs / "leave.md").chmod(0o640)  # a change of rights is a change
    assert run(docs).published == 1


def test_a_source_that_is_cut_off_in_the_run_takes_no_answer_away(
    run: Run, docs: Path, catalog: Catalog, while_fetched: Any, tmp_path: Path
) -> None:
    run(docs)
    old = (docs / "travel.txt").read_text()
    (docs / "travel.txt").write_text("Hotels are paid up to 200 euros a night.\n")
    (docs / "new.txt").write_text("A file that nobody has seen yet.")
    away = tmp_path / "away"
    while_fetched(".txt", lambda: docs.rename(away))
    summary = run(docs)
    assert [uri for uri, _ in summary.left_out] == [(docs / "travel.txt").as_posix()]
    assert (summary.gone, state(catalog, docs / "new.txt")) == (1, None)
    assert [chunk.text for chunk in catalog.chunks(version_of(catalog, docs / "travel.txt"))] == [old.strip()]
    away.rename(docs)
    assert run(docs).published == 2
    (docs / "travel.txt").unlink()
    assert run(docs).gone == 1, "a listing decides what is gone"


def version_of(catalog: Catalog, path: Path) -> int:
    found = catalog.document(id_of(path), Principal())
    assert found
    return found.version


def test_one_of_two_folders_that_is_suddenly_empty_is_not_believed(
    run: Run, docs: Path, tmp_path: Path, catalog: Catalog
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    for number in range(10):
        (share / f"{number}.txt").write_text(f"Room {number} has {number + 3} chairs.")
    run(docs, share)
    for file in share.iterdir():
        file.unlink()
    with pytest.raises(SourceError, match=f"nothing is listed in {share} where 10 documents were"):
        run(docs, share)
    assert len(catalog.live_versions()) == 12
    assert run(docs, share, allow_empty=True).gone == 10


def test_a_job_that_is_cancelled_while_its_listing_is_entered_leaves_nothing_waiting(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = pipeline.queue.enqueue

    def slow(items: Any, shelf: Shelf, *, job: str | None = None, priority: int = 0) -> None:
        assert job
        enqueue(items[:1], shelf, job=job, priority=priority)
        pipeline.jobs.cancel(job)
        time.sleep(1.5)  # the run hears of it, and takes back what there is
        enqueue(items[1:], shelf, job=job, priority=priority)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.queue, "enqueue", slow)
        assert run(docs).stopped == "cancelled"
    assert catalog.counts()[DocumentState.PENDING] == 0
    assert run(docs).published == 2


def test_what_a_cancelled_job_left_when_it_was_killed_is_taken_back_by_the_next_run(
    run: Run, docs: Path, pipeline: Pipeline
) -> None:
    job = pipeline.jobs.start(Principal(), "default", "", {})
    listed = pipeline.folder([docs]).changes().items
    pipeline.queue.enqueue(listed, shelf(), job=job)
    pipeline.jobs.cancel(job)
    assert run(docs).published == 2


def test_what_a_cancelled_job_set_aside_may_be_tried_again(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog
) -> None:
    (docs / "box.zip").write_bytes(b"PK\x03\x04 is no archive")
    run(docs)
    (job,) = pipeline.jobs.all(Principal())
    with catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'cancelled'")
    assert pipeline.queue.retry(job.id) == 1
    asyncio.run(pipeline.work())
    assert state(catalog, docs / "box.zip") is DocumentState.QUARANTINED


def test_the_parts_that_a_cancelled_job_did_not_come_to_are_found_by_the_next_run(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}.txt", f"Room {number} has {number + 3} chairs.")
    (docs / "box.zip").write_bytes(packed.getvalue())

    def cancel_after_the_box(event: Event) -> None:
        if isinstance(event, Published) and event.uri.endswith("box.zip"):
            pipeline.jobs.cancel(pipeline.jobs.all(Principal())[0].id)

    run(docs, on_event=cancel_after_the_box)
    assert len(catalog.live_versions()) < 23
    run(docs)
    assert len(catalog.live_versions()) == 23


def test_a_source_that_got_another_name_takes_its_documents_along(
    docs: Path, pipeline: Pipeline, catalog: Catalog, vectors: Any
) -> None:
    def sync(name: str) -> Summary:
        source = FolderSource([docs], home=pipeline.settings.home, max_file_bytes=1000, name=name)
        return asyncio.run(pipeline.sync(source, Wanted()))

    sync("old")
    upserts = vectors.upserts
    sync("new")
    assert catalog.counts()[DocumentState.PENDING] == 0
    assert {each.source for each in catalog.documents(Principal())} == {"new"}
    assert vectors.upserts == upserts, "the bytes are those that are live"
    (docs / "leave.md").unlink()
    assert (sync("new").gone, len(catalog.live_versions())) == (1, 1)
    assert all(each.state is JobState.DONE for each in pipeline.jobs.all(Principal()))
