"""What waits, in which order, for whom, and what pausing, cancelling and containers do to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from rag.store.catalog import Catalog
from rag.store.intake import Intake
from rag.store.jobs import Jobs
from rag.store.queue import UPLOADS, Claim, Listed, Queue, Shelf, replace_parts
from rag.store.tables import documents
from rag.store.versions import Description
from rag.types import DocumentState, Principal

EVERYONE = Principal()
SHELF = Shelf.of(EVERYONE, "default", ("everyone",), "1")
Publish = Callable[..., int]


def take(queue: Queue, **options: object) -> Claim:
    claim = queue.claim(lease_s=60, **options)  # type: ignore[arg-type]
    assert claim
    return claim


def parts(catalog: Catalog, claim: Claim, found: list[Listed]) -> list[str]:
    with catalog.database.writing() as connection:
        return replace_parts(connection, claim, found, "1")


def test_what_is_urgent_goes_first(queue: Queue) -> None:
    queue.enqueue([Listed("/bulk", "a")], SHELF)
    queue.enqueue([Listed("/urgent", "a")], SHELF, priority=5)
    assert [take(queue).uri, take(queue).uri] == ["/urgent", "/bulk"]


def test_a_run_takes_only_what_its_sources_can_fetch(queue: Queue) -> None:
    site = Shelf.of(EVERYONE, "default", ("everyone",), "1", source="site")
    uploads = Shelf.of(EVERYONE, "default", ("everyone",), "1", source=UPLOADS)
    queue.enqueue([Listed("https://example.test/a", "a")], site)
    queue.enqueue([Listed("upload:1", "a")], uploads)
    assert take(queue, sources={""}).uri == "upload:1"
    assert queue.claim(lease_s=60, sources={""}) is None
    assert take(queue, sources={"site"}).uri == "https://example.test/a"


def test_the_gone_of_one_source_are_not_those_of_another(queue: Queue, publish: Publish) -> None:
    publish("/docs/a")
    other = Shelf.of(EVERYONE, "default", ("everyone",), "1", source="mirror")
    assert queue.plan([], other, roots=["/docs"]).gone == ()
    assert queue.plan([], SHELF, roots=["/docs"]).gone == (SHELF.document_id("/docs/a"),)


def test_a_source_may_say_itself_what_is_gone(queue: Queue, publish: Publish) -> None:
    publish("imap://1")
    publish("imap://2")
    plan = queue.plan([], SHELF, deleted=["imap://2", "imap://unknown"])
    assert plan.gone == (SHELF.document_id("imap://2"),)


def test_bytes_that_are_live_need_not_be_read_again_unless_the_recipe_changed(
    queue: Queue, publish: Publish
) -> None:
    publish("/a", "first look")
    queue.enqueue([Listed("/a", "second look")], SHELF)
    claim = take(queue)
    assert claim.known_sha256 == "sha-first look"
    queue.unchanged(claim)
    assert queue.plan([Listed("/a", "second look")], SHELF).unchanged
    newer = Shelf.of(EVERYONE, "default", ("everyone",), "2")
    queue.enqueue([Listed("/a", "second look")], newer)
    assert take(queue).known_sha256 == ""


def test_a_paused_job_waits_and_a_resumed_one_goes_on(catalog: Catalog, queue: Queue) -> None:
    jobs = Jobs(catalog.database)
    job = jobs.start(EVERYONE, "default", "", {})
    queue.enqueue([Listed("/a", "a")], SHELF, job=job)
    jobs.pause(job)
    assert queue.claim(lease_s=60) is None
    assert queue.waiting() == (0, 0)
    jobs.resume(job)
    assert take(queue).uri == "/a"


def test_a_cancelled_job_leaves_what_was_live_and_forgets_the_rest(
    catalog: Catalog, queue: Queue, publish: Publish
) -> None:
    jobs = Jobs(catalog.database)
    job = jobs.start(EVERYONE, "default", "", {})
    version = publish("/known")
    queue.enqueue([Listed("/known", "b"), Listed("/new", "a"), Listed("/in work", "a")], SHELF, job=job)
    working = [take(queue), take(queue)]
    jobs.cancel(job)
    assert queue.withdraw(job) == 3
    assert [document.uri for document in catalog.documents(EVERYONE)] == ["/known"]
    assert list(catalog.live_versions()) == [version]
    for claim in working:
        opened = catalog.open_version(
            claim.document_id, title="", media_type="", pages=0, worker=queue.worker
        )
        assert opened is None, "a claim that was taken away fills nothing"
    assert [item.uri for item in queue.plan([Listed("/known", "b")], SHELF).changed] == ["/known"]


def test_who_reads_older_content_does_nothing_to_a_newer_one(catalog: Catalog, queue: Queue) -> None:
    """Also in the same process: one of its readers is at the old content when another claims the new."""
    intake, about = Intake(catalog.database), Description("", "text/plain", 0)
    version = publish_by(catalog, queue, "/a", "a")
    queue.enqueue([Listed("/a", "b")], SHELF)
    older = take(queue)
    queue.enqueue([Listed("/a", "c")], SHELF)
    newer = take(queue)
    assert intake.take(older, "b", about, lambda _: [], worker=queue.worker) is None
    assert not queue.set_aside(older, "damaged")
    assert queue.vanished(older) is None
    queue.unchanged(older)
    queue.fail(older)
    (document,) = catalog.documents(EVERYONE)
    assert (document.state, document.version) == (DocumentState.PARSING, version)
    filled = intake.take(newer, "c", about, lambda _: [], worker=queue.worker)
    assert filled and catalog.publish(newer.document_id, filled)
    assert catalog.documents(EVERYONE)[0].version == filled


def publish_by(catalog: Catalog, queue: Queue, uri: str, content: str) -> int:
    queue.enqueue([Listed(uri, content)], SHELF)
    claim = take(queue)
    about = Description("", "text/plain", 0)
    version = Intake(catalog.database).take(claim, content, about, lambda _: [], worker=queue.worker)
    assert version and catalog.publish(claim.document_id, version)
    return version


def test_parts_come_and_go_with_their_container(catalog: Catalog, queue: Queue) -> None:
    queue.enqueue([Listed("/mail.eml", "a")], Shelf.of(EVERYONE, "default", ("board",), "1"))
    mail = take(queue)
    first, second = Listed("/mail.eml!/one.pdf", "1"), Listed("/mail.eml!/two.pdf", "2")
    assert parts(catalog, mail, [first, second]) == []
    claims = [take(queue), take(queue)]
    assert {claim.uri for claim in claims} == {first.uri, second.uri}
    assert all(claim.parent == mail.document_id and claim.groups == ("board",) for claim in claims)
    for claim in claims:
        queue.unchanged(claim)
    gone = parts(catalog, mail, [first, Listed(second.uri, "2 again")])
    assert gone == []
    assert take(queue).uri == second.uri, "only the part that changed waits again"
    assert len(parts(catalog, mail, [first])) == 1
    catalog.remove(mail.document_id)
    with catalog.database.reading() as connection:
        assert connection.execute(select(documents)).all() == []


def test_a_cancelled_container_takes_the_parts_along_that_were_live(catalog: Catalog, queue: Queue) -> None:
    jobs = Jobs(catalog.database)
    job = jobs.start(EVERYONE, "default", "", {})
    queue.enqueue([Listed("/box.zip", "a")], SHELF, job=job)
    box = take(queue)
    parts(catalog, box, [Listed("/box.zip!/a.txt", "1")])
    part = take(queue)
    version = catalog.open_version(part.document_id, title="", media_type="", pages=0, worker=queue.worker)
    assert version and catalog.publish(part.document_id, version)
    jobs.cancel(job)
    queue.withdraw(job)
    assert catalog.documents(EVERYONE) == [] and catalog.retired_versions() == [version]


def test_new_readers_of_a_container_are_readers_of_its_parts(catalog: Catalog, queue: Queue) -> None:
    queue.enqueue([Listed("/box.zip", "a")], SHELF)
    box = take(queue)
    parts(catalog, box, [Listed("/box.zip!/a.txt", "1")])
    queue.regroup([Listed("/box.zip", "a", groups=("board",), owner="ada", labels=("secret",))], SHELF)
    board = catalog.documents(Principal(groups=("board",)))
    assert {(each.uri, each.owner, each.labels) for each in board} == {
        ("/box.zip", "ada", ("secret",)),
        ("/box.zip!/a.txt", "ada", ("secret",)),
    }
    assert catalog.documents(EVERYONE) == []


def test_the_quarantined_of_a_job_may_be_tried_again(catalog: Catalog, queue: Queue) -> None:
    queue.enqueue([Listed("/a", "a")], SHELF, job="job-1")
    queue.enqueue([Listed("/b", "a")], SHELF, job="job-2")
    for claim in (take(queue), take(queue)):
        queue.set_aside(claim, "damaged")
    assert queue.retry("job-1") == 1
    assert take(queue).uri == "/a"
    assert queue.retry() == 1
    assert catalog.counts()[DocumentState.QUARANTINED] == 0


@pytest.mark.parametrize("state", [DocumentState.PENDING, DocumentState.PARSING])
def test_what_waits_is_counted_with_its_bytes(queue: Queue, state: DocumentState) -> None:
    queue.enqueue([Listed("/a", "a", 700), Listed("/b", "a", 300)], SHELF)
    if state is DocumentState.PARSING:
        take(queue)
    assert queue.waiting({""}) == (2, 1000)
    assert queue.waiting({"elsewhere"}) == (0, 0)


def test_a_long_listing_is_entered_in_several_transactions(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.store.database.VALUES_PER_STATEMENT", 2)
    listing = [Listed("/a", "a", 1), Listed("/b", "a", 1), Listed("/c", "a", 1), Listed(None, "a", 1)]  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        queue.enqueue(listing, SHELF)
    assert queue.waiting()[0] == 2, "the first two stay; the third goes with the one that is no document"
