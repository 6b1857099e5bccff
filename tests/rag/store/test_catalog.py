"""Documents, versions and chunks: what answers, what does not, and who works on what."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from rag.store.catalog import Catalog, by_ids
from rag.store.processes import started, this_process
from rag.store.queue import Listed, Queue, Shelf
from rag.types import Chunk, DocumentState, Principal

EVERYONE = Principal()
SHELF = Shelf.of(EVERYONE, "default", ("everyone",), "1")


def fill(catalog: Catalog, queue: Queue, uri: str, *, sha256: str = "a", shelf: Shelf = SHELF) -> int:
    """Index a document of one chunk but do not publish it."""
    queue.enqueue([Listed(uri, sha256, 1)], shelf)
    claim = queue.claim(lease_s=60)
    assert claim
    version = catalog.open_version(claim.document_id, title=uri, media_type="text/plain", pages=1)
    assert version
    catalog.save_chunks(version, [Chunk(f"{uri}-{version}", 0, "some text", pages=(1,))])
    return version


def publish(catalog: Catalog, queue: Queue, uri: str, *, sha256: str = "a", shelf: Shelf = SHELF) -> int:
    version = fill(catalog, queue, uri, sha256=sha256, shelf=shelf)
    assert catalog.publish(shelf.document_id(uri), version)
    return version


def test_in_sqlite_a_search_looks_up_the_chunks_it_found_and_walks_over_no_others(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "home")
    for number in range(30):
        publish(catalog, Queue(catalog.database), f"/{number}")
    query = by_ids(["/1-2", "/2-3"], "default").compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    with catalog.database.reading() as connection:
        plan = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert plan[0].startswith("SEARCH chunks USING INDEX") and plan[0].endswith("(id=?)"), plan
    assert not any("SCAN" in step for step in plan)
    catalog.close()


def test_a_document_answers_only_after_it_is_published(catalog: Catalog, queue: Queue) -> None:
    version = fill(catalog, queue, "/a")
    assert catalog.passages([f"/a-{version}"], EVERYONE) == {}
    assert catalog.hidden_versions() == [version]
    assert catalog.publish(SHELF.document_id("/a"), version)
    found = catalog.passages([f"/a-{version}"], EVERYONE)[f"/a-{version}"]
    assert (found.chunk.text, found.chunk.pages, found.document.version) == ("some text", (1,), version)
    assert catalog.hidden_versions() == []
    assert catalog.live_versions() == {version: 1}


def test_the_old_version_answers_until_the_new_one_is_published(catalog: Catalog, queue: Queue) -> None:
    old = publish(catalog, queue, "/a")
    new = fill(catalog, queue, "/a", sha256="b")
    assert set(catalog.passages([f"/a-{old}", f"/a-{new}"], EVERYONE)) == {f"/a-{old}"}
    catalog.publish(SHELF.document_id("/a"), new)
    assert set(catalog.passages([f"/a-{old}", f"/a-{new}"], EVERYONE)) == {f"/a-{new}"}
    assert catalog.retired_versions() == [old]
    assert catalog.chunks(old) == []


def test_a_quarantined_change_keeps_the_old_version_live(catalog: Catalog, queue: Queue) -> None:
    old = publish(catalog, queue, "/a")
    new = fill(catalog, queue, "/a", sha256="b")
    (claim,) = queue.look_at([SHELF.document_id("/a")])
    assert queue.set_aside(claim, "the zip container cannot be read")
    document = catalog.document(SHELF.document_id("/a"), EVERYONE)
    assert document
    assert (document.state, document.version) == (DocumentState.QUARANTINED, old)
    assert document.reason == "the zip container cannot be read"
    assert set(catalog.passages([f"/a-{old}", f"/a-{new}"], EVERYONE)) == {f"/a-{old}"}


def test_a_removed_document_stops_answering_and_leaves_its_version_to_purge(
    catalog: Catalog, queue: Queue
) -> None:
    version = publish(catalog, queue, "/a")
    catalog.remove(SHELF.document_id("/a"))
    assert catalog.passages([f"/a-{version}"], EVERYONE) == {}
    assert catalog.document(SHELF.document_id("/a"), EVERYONE) is None
    assert catalog.retired_versions() == [version]
    catalog.forget([version])
    assert catalog.hidden_versions() == []


def test_a_version_number_is_never_given_twice(catalog: Catalog, queue: Queue) -> None:
    first = publish(catalog, queue, "/a")
    catalog.remove(SHELF.document_id("/a"))
    catalog.forget([first])
    assert publish(catalog, queue, "/a") > first


def test_nobody_reads_the_documents_of_another_tenant_or_group(catalog: Catalog, queue: Queue) -> None:
    secret = Shelf.of(Principal(tenant="acme"), "default", ("board",), "1")
    version = publish(catalog, queue, "/plan", shelf=secret)
    for stranger in (EVERYONE, Principal("acme", ("staff",)), Principal("other", ("board",))):
        assert catalog.passages([f"/plan-{version}"], stranger) == {}
        assert catalog.documents(stranger) == []
    assert catalog.documents(Principal("acme", ("staff", "board")))


def test_a_narrower_group_acts_before_the_index_knows_of_it(catalog: Catalog, queue: Queue) -> None:
    version = publish(catalog, queue, "/a")
    narrow = Shelf.of(EVERYONE, "default", ("board",), "1")
    plan = queue.plan([Listed("/a", "a", 1)], narrow)
    assert (plan.changed, [item.uri for item in plan.regrouped]) == ((), ["/a"])
    queue.regroup(plan.regrouped, narrow)
    assert catalog.passages([f"/a-{version}"], EVERYONE) == {}
    assert queue.misgrouped(1) == {version: (["board"], [])}
    queue.regrouped(queue.misgrouped(1))
    assert queue.misgrouped(1) == {}
    assert catalog.passages([f"/a-{version}"], Principal(groups=("board",)))


def test_a_wider_group_acts_only_when_the_index_knows_of_it(catalog: Catalog, queue: Queue) -> None:
    board = Shelf.of(EVERYONE, "default", ("board",), "1")
    version = publish(catalog, queue, "/a", shelf=board)
    queue.regroup([Listed("/a", "a", 1)], SHELF)
    assert catalog.passages([f"/a-{version}"], EVERYONE) == {}
    queue.regrouped(queue.misgrouped(1))
    assert catalog.passages([f"/a-{version}"], EVERYONE)


def test_a_plan_tells_new_changed_unchanged_and_gone(catalog: Catalog, queue: Queue) -> None:
    for uri in ("/docs/same", "/docs/edited", "/docs/lost", "/other/kept"):
        publish(catalog, queue, uri)
    listing = [Listed("/docs/same", "a", 1), Listed("/docs/edited", "b", 1), Listed("/docs/fresh", "a", 1)]
    plan = queue.plan(listing, SHELF, roots=["/docs"])
    uris = [[item.uri for item in items] for items in (plan.new, plan.changed, plan.unchanged)]
    assert uris == [["/docs/fresh"], ["/docs/edited"], ["/docs/same"]]
    assert plan.gone == (SHELF.document_id("/docs/lost"),)


def test_a_document_is_claimed_once(catalog: Catalog, queue: Queue) -> None:
    queue.enqueue([Listed("/a", "a", 1)], SHELF)
    other = Queue(catalog.database, worker="elsewhere:1:1")
    assert queue.claim(lease_s=60)
    assert other.claim(lease_s=60) is None


def test_the_claim_of_a_dead_process_is_free_at_once(catalog: Catalog) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rag.store.processes import this_process; print(this_process())"],
        capture_output=True,
        text=True,
        check=True,
    )
    dead = Queue(catalog.database, worker=done.stdout.strip())
    dead.enqueue([Listed("/a", "a", 1)], SHELF)
    assert dead.claim(lease_s=3600)
    claim = Queue(catalog.database).claim(lease_s=60)
    assert claim
    assert claim.attempts == 1


def test_the_claim_of_another_machine_is_free_when_its_lease_ends(catalog: Catalog) -> None:
    now = 1000.0
    far = Queue(catalog.database, worker="far:1:1", clock=lambda: now)
    near = Queue(catalog.database, clock=lambda: now)
    far.enqueue([Listed("/a", "a", 1)], SHELF)
    assert far.claim(lease_s=10)
    now = 1009.0
    far.heartbeat(lease_s=10)
    now = 1015.0
    assert near.claim(lease_s=10) is None
    now = 1020.0
    assert near.claim(lease_s=10)


def test_a_worker_that_lost_its_document_publishes_nothing(catalog: Catalog, queue: Queue) -> None:
    lost = fill(catalog, queue, "/a")
    taken = catalog.open_version(SHELF.document_id("/a"), title="", media_type="", pages=0)
    assert taken
    assert not catalog.publish(SHELF.document_id("/a"), lost)
    assert catalog.publish(SHELF.document_id("/a"), taken)
    assert list(catalog.live_versions()) == [taken]


def test_half_filled_versions_of_dead_workers_are_retired(catalog: Catalog, queue: Queue) -> None:
    dead = Queue(catalog.database, worker=this_process().rsplit(":", 1)[0] + ":1")
    orphan = fill(catalog, dead, "/a")
    ours = fill(catalog, queue, "/b")
    queue.retire_orphans()
    assert catalog.retired_versions() == [orphan]
    assert set(catalog.hidden_versions()) == {orphan, ours}


def test_failures_are_counted_and_a_release_is_not_one(catalog: Catalog, queue: Queue) -> None:
    queue.enqueue([Listed("/a", "a", 1)], SHELF)
    claim = queue.claim(lease_s=60)
    assert claim
    queue.fail(claim)
    again = queue.claim(lease_s=60)
    assert again
    queue.release()
    last = queue.claim(lease_s=60)
    assert last
    assert last.attempts == 1


def test_the_start_time_of_no_process_is_empty() -> None:
    assert started(0) == ""


def test_more_versions_than_a_statement_takes_values_are_asked_for_at_once(
    catalog: Catalog, queue: Queue
) -> None:
    version = publish(catalog, queue, "/a")
    many = list(range(version, 40_000))  # SQLite takes 32,766 values
    assert len(catalog.digests(many)) == 1
    catalog.retire_versions(many)
    catalog.forget(many)
    assert catalog.hidden_versions() == []
