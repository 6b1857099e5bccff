from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from rag.conversations.replies import KEPT_S, LARGEST_BYTES, LEASE_S, Replies, Reply, Slot
from rag.conversations.tables import replies as table
from rag.errors import IdempotencyInProgress, IdempotencyMismatch
from rag.store.catalog import Catalog
from tests.rag.conversations.conftest import ALICE, Publish

SLOT = Slot("scope", "request")
JSON = (("content-type", "application/json"),)


class Epoch:
    def __init__(self) -> None:
        self.now = "first"

    def __call__(self) -> str:
        return self.now


@pytest.fixture
def epoch() -> Epoch:
    return Epoch()


@pytest.fixture
def replies(catalog: Catalog, epoch: Epoch, clock: Any) -> Replies:
    return Replies(catalog, epoch, clock=clock)


def test_a_kept_reply_is_given_again_for_a_day(replies: Replies, clock: Any) -> None:
    reply = Reply(200, JSON, b'{"x": 1}')
    assert replies.claim(SLOT, ALICE) is None
    replies.keep(SLOT, reply)
    assert replies.claim(SLOT, ALICE) == reply
    clock.now += KEPT_S
    assert replies.claim(SLOT, ALICE) is None


def test_a_claimed_key_is_in_progress_until_it_is_released(replies: Replies) -> None:
    replies.claim(SLOT, ALICE)
    with pytest.raises(IdempotencyInProgress):
        replies.claim(SLOT, ALICE)
    replies.release(SLOT)
    assert replies.claim(SLOT, ALICE) is None


def test_another_body_under_the_same_key_is_refused(replies: Replies) -> None:
    replies.claim(SLOT, ALICE)
    for _ in range(2):
        with pytest.raises(IdempotencyMismatch):
            replies.claim(Slot("scope", "other"), ALICE)
        replies.keep(SLOT, Reply(200, JSON, b"{}"))


def test_a_key_of_a_server_that_died_is_free_at_once_and_one_far_away_after_a_while(
    replies: Replies, catalog: Catalog, clock: Any
) -> None:
    for worker, wait_s in (("nowhere/x:1:1", LEASE_S), (replies._worker[:-1] + "x", 0.0)):
        replies.claim(SLOT, ALICE)
        with catalog.database.writing() as connection:
            connection.execute(update(table).values(worker=worker))
        clock.now += wait_s
        assert replies.claim(SLOT, ALICE) is None
        replies.release(SLOT)


def test_a_reply_from_before_a_removal_is_not_given_again(replies: Replies, epoch: Epoch) -> None:
    replies.claim(SLOT, ALICE)
    replies.keep(SLOT, Reply(200, JSON, b"{}"))
    epoch.now = "second"
    assert replies.claim(SLOT, ALICE) is None
    replies.keep(SLOT, Reply(200, JSON, b"{}"))
    assert replies.claim(SLOT, ALICE)


def test_a_removal_while_the_reply_is_made_counts_too(replies: Replies, epoch: Epoch) -> None:
    replies.claim(SLOT, ALICE)
    epoch.now = "second"
    replies.keep(SLOT, Reply(200, JSON, b"{}"))
    assert replies.claim(SLOT, ALICE) is None


@pytest.mark.parametrize(
    "form", ['{"document_id": "%s"}', 'data: {"document_id":"%s"}', '"{\\"document_id\\": \\"%s\\"}"']
)
def test_a_reply_that_names_a_document_closed_since_is_not_given_again(
    replies: Replies, publish: Publish, narrow: Callable[..., None], form: str
) -> None:
    passage = publish("Leave", "28 days.")
    replies.claim(SLOT, ALICE)
    replies.keep(SLOT, Reply(200, JSON, (form % passage.document_id).encode()))
    assert replies.claim(SLOT, ALICE)
    narrow(passage, ("board",))
    assert replies.claim(SLOT, ALICE) is None


def test_a_large_reply_is_not_kept(replies: Replies) -> None:
    replies.claim(SLOT, ALICE)
    replies.keep(SLOT, Reply(200, JSON, b"x" * (LARGEST_BYTES + 1)))
    assert replies.claim(SLOT, ALICE) is None


def test_of_many_at_once_one_does_the_work(replies: Replies) -> None:
    outcomes: list[str] = []

    def claim() -> None:
        try:
            outcomes.append("work" if replies.claim(SLOT, ALICE) is None else "again")
        except IdempotencyInProgress:
            outcomes.append("wait")

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["wait"] * 7 + ["work"]
