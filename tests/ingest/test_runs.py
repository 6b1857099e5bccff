"""A run as others see it: containers, pausing, cancelling, erasing, forecasts."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.commands.show import show
from ingest.erasure import erase
from ingest.forecast import forecast, rates
from ingest.jobs import Event, Planned, Published, Summary
from ingest.pipeline import Pipeline
from rag.cost.rates import rates_of
from rag.errors import SourceError
from rag.store.catalog import Catalog
from rag.store.originals import Originals
from rag.types import DocumentState, JobState, Principal

Run = Callable[..., Summary]


@pytest.fixture(autouse=True)
def files_that_are_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.sources.folder.RACY_NS", 0)


def box(**members: str | bytes) -> bytes:
    """A zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return packed.getvalue()


def uris(catalog: Catalog, docs: Path) -> set[str]:
    return {each.uri.removeprefix(f"{docs}/") for each in catalog.documents(Principal())}


def test_what_is_inside_an_archive_becomes_documents(
    run: Run, docs: Path, catalog: Catalog, vectors: Any
) -> None:
    inner = box(deep__txt="The deepest words of all.")
    (docs / "box.zip").write_bytes(box(note__txt="Words in an archive.", inner__zip=inner))
    summary = run(docs)
    assert (summary.new, summary.parts, summary.quarantined) == (3, 3, ())
    assert uris(catalog, docs) == {
        "leave.md",
        "travel.txt",
        "box.zip",
        "box.zip!/note.txt",
        "box.zip!/inner.zip",
        "box.zip!/inner.zip!/deep.txt",
    }
    texts = [text for _, text in vectors.points.values()]
    assert any("deepest words" in text for text in texts)
    assert run(docs).unchanged == 3


def test_a_part_that_is_no_longer_inside_goes_with_its_bytes(
    run: Run, docs: Path, catalog: Catalog, vectors: Any, pipeline: Pipeline
) -> None:
    (docs / "box.zip").write_bytes(box(one__txt="The first part.", two__txt="The second part."))
    run(docs)
    assert len(Originals(pipeline.settings.home).old(older_than_s=-1)) == 2
    (docs / "box.zip").write_bytes(box(one__txt="The first part.", three__txt="A third part."))
    run(docs)
    assert uris(catalog, docs) >= {"box.zip!/one.txt", "box.zip!/three.txt"}
    assert "box.zip!/two.txt" not in uris(catalog, docs)
    assert not any("second part" in text for _, text in vectors.points.values())
    (docs / "box.zip").unlink()
    run(docs)
    assert uris(catalog, docs) == {"leave.md", "travel.txt"}
    assert Originals(pipeline.settings.home).old(older_than_s=-1) == []


def test_a_run_is_paused_and_resumed_from_outside(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog
) -> None:
    for number in range(40):
        (docs / f"{number}.txt").write_text(f"Room {number} has {number + 3} chairs.")
    jobs = pipeline.jobs
    seen: list[str] = []

    async def story() -> Summary:
        def pause_after_the_first(event: Event) -> None:
            if isinstance(event, Published):
                seen.append(event.uri)
                if len(seen) == 1:
                    jobs.pause(jobs.all(Principal())[0].id)

        running = asyncio.create_task(
            pipeline.run([docs], principal=Principal(), on_event=pause_after_the_first)
        )
        while not seen:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        (job,) = jobs.all(Principal())
        assert (job.state, running.done()) == (JobState.PAUSED, False)
        assert len(seen) < 42
        jobs.resume(job.id)
        return await running

    assert asyncio.run(story()).published == 42
    (job,) = jobs.all(Principal())
    assert (job.state, job.waiting, job.progress["documents"]) == (JobState.DONE, 0, 42)
    assert job.progress["bottleneck"] in ("fetch", "parse", "embed", "write", "flush")


def test_a_run_beside_a_paused_one_says_what_waits_there(
    docs: Path, pipeline: Pipeline, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = pipeline.jobs

    def pause_at_once(event: Event) -> None:
        if isinstance(event, Planned):
            jobs.pause(jobs.all(Principal())[0].id)

    async def story() -> tuple[Summary, Summary]:
        first = asyncio.create_task(pipeline.run([docs], principal=Principal(), on_event=pause_at_once))
        while not any(job.state is JobState.PAUSED for job in jobs.all(Principal())):
            await asyncio.sleep(0.05)
        beside = await pipeline.run([docs], principal=Principal())
        ((paused, _),) = beside.waiting
        jobs.resume(paused)
        return beside, await first

    beside, first = asyncio.run(story())
    assert beside.waiting == ((first.job, 2),) and beside.published == 0
    assert first.published == 2 and first.waiting == ()
    show(beside)
    assert f"2 documents wait in {first.job}, which is paused: rag jobs resume" in capsys.readouterr().err


def test_a_cancelled_run_ends_and_keeps_what_it_published(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog
) -> None:
    for number in range(40):
        (docs / f"{number}.txt").write_text(f"Room {number} has {number + 3} chairs.")

    def cancel_after_the_first(event: Event) -> None:
        if isinstance(event, Published):
            job = pipeline.jobs.all(Principal())[0]
            if job.state is JobState.RUNNING:
                pipeline.jobs.cancel(job.id)

    summary = run(docs, on_event=cancel_after_the_first)
    assert summary.stopped == "cancelled"
    assert 1 <= len(catalog.live_versions()) < 42
    assert catalog.counts()[DocumentState.PENDING] == 0
    assert run(docs).published == 42 - summary.published


def test_a_source_that_fails_now_and_then_is_tried_again(
    docs: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, failures = type(pipeline.folder([docs])).fetch, iter([True, True, False])

    def shaky(self: Any, uri: str, into: Path) -> Path:
        if uri.endswith("leave.md") and next(failures, False):
            raise SourceError("the connection was reset")
        return fetch(self, uri, into)

    monkeypatch.setattr("ingest.sources.folder.FolderSource.fetch", shaky)
    summary = asyncio.run(pipeline.run([docs], principal=Principal()))
    assert (summary.published, summary.quarantined) == (2, ())


def test_a_source_that_keeps_failing_is_named(
    docs: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(_self: Any, uri: str, into: Path) -> Path:
        raise SourceError("the connection was reset")

    monkeypatch.setattr("ingest.sources.folder.FolderSource.fetch", dead)
    summary = asyncio.run(pipeline.run([docs], principal=Principal()))
    assert {reason for _, reason in summary.quarantined} == {
        "3 attempts failed, the last with: the connection was reset"
    }


def test_archives_in_archives_end_at_a_number_of_documents(
    run: Run, docs: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bomb of the developer set holds 111,110 in eleven kilobytes."""
    monkeypatch.setattr("rag.store.queue.MAX_PARTS", 10)
    inner = box(**{f"n{number}__txt": f"Note {number}." for number in range(3)})
    with zipfile.ZipFile(docs / "bomb.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.zip", inner)
    summary = run(docs)
    reasons = {reason for _, reason in summary.quarantined}
    assert reasons == {"with its 3 documents the file that it came with would hold 13, the limit is 10"}
    assert len(summary.quarantined) == 2, "two of the four were within it"
    inside = [each for each in catalog.documents(Principal()) if "bomb.zip!/" in each.uri]
    assert len(inside) == 10
    assert (run(docs).parts, len(run(docs).quarantined)) == (0, 0), "nor does a second run take them in"


def test_erasing_leaves_nothing_and_says_what_was_looked_at(
    run: Run, docs: Path, pipeline: Pipeline, catalog: Catalog
) -> None:
    secret = "The password of the vault is heliotrope."
    (docs / "box.zip").write_bytes(box(secret__txt=secret))
    run(docs)
    wanted = [each.id for each in catalog.documents(Principal()) if each.uri.endswith("box.zip")]
    receipt = asyncio.run(erase(pipeline, wanted))
    assert receipt.complete
    assert [Path(each.uri).name for each in receipt.documents] == ["box.zip", "secret.txt"]
    assert receipt.documents[1].chunks == 1
    assert set(receipt.left) >= {"points", "documents", "versions", "chunks", "originals"}
    assert json.loads(json.dumps(receipt.json()))["complete"] is True
    for file in pipeline.settings.home.rglob("*"):
        assert not file.is_file() or b"heliotrope" not in file.read_bytes(), file


def test_a_forecast_uses_what_earlier_runs_took(run: Run, docs: Path, pipeline: Pipeline) -> None:
    cost = rates_of(pipeline.settings.hardware, pipeline.settings.cost)
    first = forecast(10, 1_000_000, rates([], pipeline.settings.home, 0), cost)
    assert "typical" in first.basis
    for number in range(250):
        (docs / f"{number}.txt").write_text(f"Room {number} has {number + 3} chairs.")
    summary = run(docs)
    assert summary.published + len(summary.quarantined) == 252, summary
    jobs = pipeline.jobs.all(Principal())
    measured = forecast(252, 7_000, rates(jobs, pipeline.settings.home, 252), cost)
    assert f"measured over {summary.chunks} chunks" in measured.basis
    assert 200 < measured.chunks < 320
    assert 0 < measured.seconds < 600
    assert measured.amount > 0
    assert forecast(0, 0, rates(jobs, pipeline.settings.home, 252), cost).chunks == 0
