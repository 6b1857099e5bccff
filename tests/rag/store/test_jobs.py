"""Runs as others see them: state, progress, and what a death leaves behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rag.errors import BadRequest, NotFound
from rag.store.catalog import Catalog
from rag.store.jobs import Jobs
from rag.store.queue import Listed, Queue, Shelf
from rag.types import JobState, Principal, Right

EVERYONE = Principal()
WRITER = frozenset({Right.ASK, Right.WRITE})


@pytest.fixture
def jobs(catalog: Catalog) -> Jobs:
    return Jobs(catalog.database)


def test_a_run_shows_its_plan_its_progress_and_what_waits(catalog: Catalog, jobs: Jobs, queue: Queue) -> None:
    job = jobs.start(EVERYONE, "default", "site", {"groups": ["everyone"]})
    queue.enqueue([Listed("/a", "a")], Shelf.of(EVERYONE, "default", ("everyone",), "1"), job=job)
    assert jobs.report(job, plan={"new": 1}, progress={"chunks": 7}) is JobState.RUNNING
    (shown,) = jobs.all(EVERYONE)
    assert (shown.plan, shown.progress, shown.waiting, shown.alive) == ({"new": 1}, {"chunks": 7}, 1, True)
    jobs.finish(job)
    assert jobs.get(job, EVERYONE).state is JobState.DONE


def test_a_run_that_is_put_first_is_done_first(jobs: Jobs, queue: Queue) -> None:
    shelf = Shelf.of(EVERYONE, "default", ("everyone",), "1")
    first, urgent = (jobs.start(EVERYONE, "default", "", {}) for _ in range(2))
    for uri, job in (("/a", first), ("/b", urgent)):
        queue.enqueue([Listed(uri, "a")], shelf, job=job, priority=1)
    jobs.prioritise(urgent, 9)
    assert jobs.get(urgent, EVERYONE).priority == 9
    claims = [queue.claim(lease_s=60) for _ in range(2)]
    assert [(claim.uri, claim.priority) for claim in claims if claim] == [("/b", 9), ("/a", 1)]
    jobs.finish(urgent)
    with pytest.raises(BadRequest, match="is done and cannot be given another priority"):
        jobs.prioritise(urgent, 1)


def test_a_run_that_is_over_cannot_be_turned(jobs: Jobs) -> None:
    job = jobs.start(EVERYONE, "default", "", {})
    jobs.finish(job, "the disk is full")
    assert (jobs.get(job, EVERYONE).state, jobs.get(job, EVERYONE).error) == ("failed", "the disk is full")
    for turn in (jobs.pause, jobs.resume, jobs.cancel):
        with pytest.raises(BadRequest, match=f"job {job} is failed"):
            turn(job)
    with pytest.raises(NotFound, match="rag jobs"):
        jobs.pause("job-unknown")


def test_what_was_paused_or_cancelled_stays_so_when_its_process_ends(jobs: Jobs) -> None:
    for turn, state in ((jobs.pause, JobState.PAUSED), (jobs.cancel, JobState.CANCELLED)):
        job = jobs.start(EVERYONE, "default", "", {})
        turn(job)
        jobs.finish(job)
        assert jobs.state(job) is state


def test_the_run_of_a_dead_process_is_marked_as_such(catalog: Catalog, jobs: Jobs, url: str) -> None:
    code = (
        "import sys; from pathlib import Path; from rag.store.database import Database\n"
        "from rag.store.jobs import Jobs; from rag.types import Principal\n"
        "print(Jobs(Database(Path(sys.argv[1]), sys.argv[2])).start(Principal(), 'default', '', {}))"
    )
    run = [sys.executable, "-c", code, str(catalog.home), url]
    dead = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    ours = jobs.start(EVERYONE, "default", "", {})
    assert not jobs.get(dead, EVERYONE).alive
    jobs.bury()
    assert (jobs.state(dead), jobs.state(ours)) == (JobState.FAILED, JobState.RUNNING)


def test_nobody_sees_the_runs_of_another_tenant(jobs: Jobs) -> None:
    job = jobs.start(EVERYONE, "default", "", {})
    assert jobs.all(Principal("acme")) == []
    with pytest.raises(NotFound):
        jobs.get(job, Principal("acme"))


def test_a_cursor_is_kept_for_each_source(jobs: Jobs) -> None:
    assert jobs.cursor("default", "default", "site") == ""
    jobs.move_cursor("default", "default", "site", "one")
    jobs.move_cursor("default", "default", "site", "two")
    assert jobs.cursor("default", "default", "site") == "two"
    assert jobs.cursor("default", "other", "site") == ""


def test_a_run_is_seen_by_who_began_it_and_by_operators_of_his_tenant(jobs: Jobs) -> None:
    ann, bo, nobody = (Principal("acme", user=name, rights=WRITER) for name in ("ann", "bo", ""))
    operator, stranger = (
        Principal(name, user="oz", rights=WRITER | {Right.OPERATE}) for name in ("acme", "globex")
    )
    job = jobs.start(ann, "default", "", {})
    owned = jobs.start(Principal("acme"), "default", "", {})
    seen = [{each.id for each in jobs.all(who)} for who in (ann, bo, nobody, operator, stranger)]
    assert seen == [{job}, set(), set(), {job, owned}, set()]
    assert jobs.get(job, operator).wanted["user"] == "ann"
    for who in (bo, nobody, stranger):
        with pytest.raises(NotFound):
            jobs.get(job, who)


def test_a_key_for_some_collections_sees_their_runs_only(jobs: Jobs) -> None:
    here, there = (jobs.start(EVERYONE, name, "", {}) for name in ("handbook", "board"))
    limited = Principal(collections=("handbook",))
    assert [each.id for each in jobs.all(limited)] == [here]
    with pytest.raises(NotFound):
        jobs.get(there, limited)
