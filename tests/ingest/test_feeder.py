from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from ingest.feeder import MAX_AT_ONCE, Accepted, Feeder
from ingest.pipeline import Pipeline
from ingest.upload import MAX_NAME_BYTES, clean_name, uri_of
from rag.accounts.tenants import Tenants
from rag.errors import BadRequest, DiskFull, IndexUnavailable, Overloaded, PayloadTooLarge, QuotaExceeded
from rag.settings import LimitsSettings
from rag.store.catalog import Catalog
from rag.types import DocumentState, JobState, Principal

ME = Principal()


async def stream(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def hand_in(feeder: Feeder, principal: Principal = ME, **contents: bytes) -> Accepted:
    """Upload files; `__` in a name stands for a dot."""
    async with feeder.receiving() as upload:
        for name, data in contents.items():
            await upload.add(name.replace("__", "."), stream(data))
        return await feeder.submit(upload, principal)


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def state(catalog: Catalog, document_id: str) -> DocumentState | None:
    found = catalog.document(document_id, ME)
    return found.state if found else None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.feeder.GATHER_S", 0.05)
    monkeypatch.setattr("ingest.feeder.BACK_OFF_S", (0.05,))


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_what_is_handed_in_is_indexed_once(pipeline: Pipeline, catalog: Catalog, vectors: Any) -> None:
    async def story() -> None:
        feeder = Feeder(pipeline)
        async with feeder.working():
            first = await hand_in(feeder, a__txt=b"Hotels are paid.", b__txt=b"Badges are yellow.")
            await until(lambda: pipeline.jobs.state(first.job) is JobState.DONE)
            assert len(vectors.points) == 2
            again = await hand_in(feeder, a__txt=b"Hotels are paid.")
            await until(lambda: pipeline.jobs.state(again.job) is JobState.DONE)
        assert again.documents == first.documents[:1]
        assert pipeline.jobs.get(again.job, ME).progress["unchanged"] == 1
        assert vectors.upserts == 2

    run(story())


def test_an_index_that_fails_is_tried_again_and_told(
    pipeline: Pipeline, catalog: Catalog, vectors: Any, caplog: pytest.LogCaptureFixture
) -> None:
    vectors.failures = [IndexUnavailable("the index is away"), IndexUnavailable("still away")]

    async def story() -> None:
        feeder = Feeder(pipeline)
        async with feeder.working():
            accepted = await hand_in(feeder, a__txt=b"Hotels are paid.")
            await until(lambda: state(catalog, accepted.documents[0]) is DocumentState.LIVE)
            await until(lambda: pipeline.jobs.state(accepted.job) is JobState.DONE)

    with caplog.at_level(logging.ERROR):
        run(story())
    assert [record.message for record in caplog.records] == ["a job failed"] * 2


def test_stopping_in_the_middle_gives_back_the_work_and_the_next_one_does_it(
    pipeline: Pipeline, catalog: Catalog
) -> None:
    async def begin() -> Accepted:
        feeder = Feeder(pipeline)
        async with feeder.working():
            accepted = await hand_in(feeder, a__txt=b"Hotels are paid.")
            await until(lambda: state(catalog, accepted.documents[0]) is DocumentState.PARSING)
        assert state(catalog, accepted.documents[0]) is DocumentState.PENDING
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return accepted

    async def go_on(accepted: Accepted) -> None:
        async with Feeder(pipeline).working():
            await until(lambda: pipeline.jobs.state(accepted.job) is JobState.DONE)
        assert state(catalog, accepted.documents[0]) is DocumentState.LIVE

    run(go_on(asyncio.run(begin())))


def test_a_job_counts_on_after_a_pause(pipeline: Pipeline, catalog: Catalog) -> None:
    contents = {f"n{number}__txt": b"Room %d has chairs." % number for number in range(6)}

    async def story() -> None:
        feeder = Feeder(pipeline)
        async with feeder.working():
            accepted = await hand_in(feeder, **contents)
            await until(lambda: catalog.counts()[DocumentState.LIVE])
            pipeline.jobs.pause(accepted.job)
            await until(lambda: pipeline.jobs.get(accepted.job, ME).finished_at)
            before = pipeline.jobs.get(accepted.job, ME)
            assert (before.state, before.waiting > 0) == (JobState.PAUSED, True)
            pipeline.jobs.resume(accepted.job)
            feeder.wake()
            await until(lambda: pipeline.jobs.state(accepted.job) is JobState.DONE)
        after = pipeline.jobs.get(accepted.job, ME)
        assert after.progress["documents"] == 6
        assert after.progress["seconds"] > before.progress["seconds"]

    run(story())


def test_nothing_is_left_of_what_was_not_taken(pipeline: Pipeline) -> None:
    folder = pipeline.settings.home / "originals"

    async def story() -> None:
        feeder = Feeder(pipeline)
        limit = pipeline.settings.ingest.max_file_bytes
        with pytest.raises(PayloadTooLarge, match="b.txt is larger than"):
            async with feeder.receiving() as upload:
                await upload.add("a.txt", stream(b"x"))
                upload._max_file_bytes = 10
                await upload.add("b.txt", stream(b"x" * 11))
        assert limit > 11
        with pytest.raises(DiskFull, match="must stay so"):
            async with feeder.receiving() as upload:
                upload._min_free_bytes = 10**18
                await upload.add("a.txt", stream(b"x"))
        with pytest.raises(BadRequest, match="brings no file"):
            await hand_in(feeder)
        with pytest.raises(BadRequest, match="not in the group 'board'"):
            async with feeder.receiving() as upload:
                await upload.add("a.txt", stream(b"x"))
                await feeder.submit(upload, ME, groups=["board"])

    run(story())
    assert [file for file in folder.rglob("*") if file.is_file()] == []
    assert pipeline.jobs.all(ME) == []


def test_too_many_senders_at_once_are_asked_to_wait(pipeline: Pipeline) -> None:
    async def story() -> None:
        feeder = Feeder(pipeline)
        entered = [feeder.receiving() for _ in range(MAX_AT_ONCE)]
        for each in entered:
            await each.__aenter__()
        with pytest.raises(Overloaded):
            await hand_in(feeder, a__txt=b"x")
        await entered.pop().__aexit__(None, None, None)
        await hand_in(feeder, a__txt=b"x")
        for each in entered:
            await each.__aexit__(None, None, None)

    run(story())


def test_a_sender_who_is_not_everyone_shares_with_his_own_groups(
    pipeline: Pipeline, catalog: Catalog
) -> None:
    board = Principal("default", ("board", "staff"))
    accepted = asyncio.run(hand_in(Feeder(pipeline), board, plan__txt=b"Secret."))
    found = catalog.document(accepted.documents[0], board)
    assert found and found.groups == ("board", "staff")
    assert found.uri == "upload://default/board,staff/plan.txt"
    assert catalog.document(accepted.documents[0], ME) is None


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("leave.md", "leave.md"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\Plan 1.docx", "Plan 1.docx"),
        ("a\x00b\r\n.txt", "ab.txt"),
        ("gpj.\u202eexe.txt", "gpj.exe.txt"),
        ("zero\u200bwidth\ufeff.md", "zerowidth.md"),
        ("cafe\u0301.txt", "caf\u00e9.txt"),
        ("half \ud800.txt", "half .txt"),
        ("  spaced.txt  ", "spaced.txt"),
        (".profile", ".profile"),
    ],
)
def test_a_name_is_cleaned(sent: str, name: str) -> None:
    assert clean_name(sent) == name


@pytest.mark.parametrize("sent", ["", ".", "..", "a/", "\u200b", " . ", "/"])
def test_what_is_no_name_is_refused(sent: str) -> None:
    with pytest.raises(BadRequest, match="is not a file name"):
        clean_name(sent)


@pytest.mark.parametrize("letter", ["a", "é", "漢", "😀"])
def test_a_long_name_is_cut_and_keeps_its_ending(letter: str) -> None:
    name = clean_name(letter * 5000 + ".pdf")
    assert name.endswith(letter + ".pdf")
    assert MAX_NAME_BYTES - 4 < len(name.encode()) <= MAX_NAME_BYTES


def test_readers_are_part_of_what_a_document_is() -> None:
    assert uri_of("default", ("everyone",), "a.txt") == "upload://default/a.txt"
    assert uri_of("default", ("a/b", "c"), "a.txt") == "upload://default/a%2Fb,c/a.txt"


def test_uploads_at_the_same_time_do_not_overshoot_the_quota(pipeline: Pipeline, catalog: Catalog) -> None:
    limits = LimitsSettings(tenant_documents=3, tenant_bytes=1000)

    async def story() -> None:
        feeder = Feeder(pipeline, check_room=Tenants(catalog.database, limits).check_room)
        names = [f"{number}__txt" for number in range(6)]
        sent = [hand_in(feeder, **{name: name.encode()}) for name in names]
        done = await asyncio.gather(*sent, return_exceptions=True)
        assert sum(isinstance(each, Accepted) for each in done) == 3
        assert all(isinstance(each, Accepted | QuotaExceeded) for each in done)
        assert sum(catalog.counts().values()) == 3

    asyncio.run(story())


def test_what_replaces_a_document_makes_room_and_a_refusal_leaves_no_run(
    pipeline: Pipeline, catalog: Catalog
) -> None:
    limits = LimitsSettings(tenant_documents=2, tenant_bytes=1000)

    async def story() -> None:
        feeder = Feeder(pipeline, check_room=Tenants(catalog.database, limits).check_room)
        await hand_in(feeder, a__txt=b"a" * 900, b__txt=b"b" * 100)
        await hand_in(feeder, a__txt=b"c" * 800)
        with pytest.raises(QuotaExceeded, match="holds 900 bytes"):
            await hand_in(feeder, b__txt=b"d" * 201)
        mine = {job.id for job in pipeline.jobs.all(ME) if job.waiting}
        limited = Principal(user="ann")
        with pytest.raises(QuotaExceeded, match="holds 2 documents"):
            await hand_in(feeder, limited, c__txt=b"e")
        assert {job.id for job in pipeline.jobs.all(ME) if job.state is JobState.RUNNING} == mine

    asyncio.run(story())
