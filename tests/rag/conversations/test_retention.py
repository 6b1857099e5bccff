from __future__ import annotations

import asyncio
from typing import Any

from rag.conversations.erasure import forget_gone
from rag.conversations.grounds import WITHHELD, Reading, Viewer, places
from rag.conversations.replies import Replies, Reply, Slot
from rag.conversations.retention import sweep, sweeping
from rag.conversations.shelf import Conversations
from rag.settings import ConversationsSettings
from rag.store.catalog import Catalog
from tests.rag.conversations.conftest import ALICE, Publish, answered

KEPT_FOR_EVER = ConversationsSettings(keep_days=0)


def test_what_is_too_old_goes_at_the_start_and_daily(
    shelf: Conversations, catalog: Catalog, clock: Any
) -> None:
    replies = Replies(catalog, str, clock=clock)

    async def run() -> list[int]:
        left = []
        settings = ConversationsSettings()
        async with sweeping(catalog.database, replies, settings, every_s=0.05, clock=clock):
            for _ in range(2):
                shelf.create(ALICE)
                clock.now += 91 * 86_400
                shelf.create(ALICE)
                async with asyncio.timeout(60):
                    while len(shelf.all(ALICE)) > 1:
                        await asyncio.sleep(0.02)
                left.append(len(shelf.all(ALICE)))
        return left

    shelf.create(ALICE)
    clock.now += 91 * 86_400
    assert asyncio.run(run()) == [1, 1]


def test_no_limit_keeps_conversations_for_ever_but_replies_for_a_day(
    shelf: Conversations, catalog: Catalog, clock: Any
) -> None:
    replies = Replies(catalog, str, clock=clock)
    shelf.create(ALICE)
    replies.claim(Slot("scope", "request"), ALICE)
    clock.now += 4000 * 86_400
    assert sweep(catalog.database, replies, KEPT_FOR_EVER, clock) == 0
    assert len(shelf.all(ALICE)) == 1
    assert replies.forget_old() == 0  # gone already


def test_words_of_a_removed_document_leave_the_database_and_do_not_come_back_with_it(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    gone, stays = publish("Gone", "The heliotrope blooms."), publish("Stays", "The rose blooms.")
    found = shelf.create(ALICE).id
    for answer in (
        answered(gone),
        answered(stays),
        answered(stays, gone),
        answered(gone, notes=("“Gone” says heliotrope",)),
    ):
        shelf.append(found, ALICE, question="What blooms?", answer=answer.text, rag=places(answer))
    assert forget_gone(catalog.database) == 0
    catalog.remove(gone.document_id)
    assert forget_gone(catalog.database) == 3
    catalog.database.wipe()
    assert not any(b"heliotrope" in file.read_bytes() for file in catalog.home.iterdir() if file.is_file())
    publish("Gone", "Another text.")
    shown = Reading(shelf.messages(found), catalog, ALICE, Viewer.OWNER).all()[1::2]
    assert [each.text for each in shown] == ["", "The rose blooms. [1]", "", ""]
    assert [each.withheld for each in shown] == [WITHHELD, "", WITHHELD, WITHHELD]


def test_a_reply_from_before_a_removal_is_deleted_and_one_in_the_making_is_not(catalog: Catalog) -> None:
    epochs = iter(["old", "old", "new", "new"])
    replies = Replies(catalog, lambda: next(epochs))
    for name in ("made", "making"):
        replies.claim(Slot(name, "request"), ALICE)
    replies.keep(Slot("made", "request"), Reply(200, (), b"{}"))
    assert replies.forget_old() == 1
