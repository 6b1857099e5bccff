from __future__ import annotations

from typing import Any

import pytest

from rag.conversations.feedback import Feedback, Rating, Reason, liked
from rag.conversations.grounds import places
from rag.conversations.shelf import Conversations
from rag.errors import BadRequest, NotFound
from rag.store.catalog import Catalog
from rag.types import Passage
from tests.rag.conversations.conftest import ALICE, BOB, ELSEWHERE, Publish, answered


@pytest.fixture
def verdicts(catalog: Catalog, clock: Any) -> Feedback:
    return Feedback(catalog.database, clock=clock)


def keep(shelf: Conversations, *passages: Passage, question: str = "Leave?") -> tuple[str, str]:
    answer, found = answered(*passages), shelf.create(ALICE).id
    rag = places(answer)
    return found, shelf.append(found, ALICE, question=question, answer=answer.text, rag=rag)


def test_a_second_verdict_takes_the_place_of_the_first(
    verdicts: Feedback, shelf: Conversations, publish: Publish
) -> None:
    found, message = keep(shelf, publish("Leave", "28 days."))
    verdicts.give(found, message, ALICE, Rating.UP)
    verdicts.give(found, message, ALICE, Rating.DOWN, reason=Reason.OUTDATED, comment=" it is 30 now ")
    (verdict,) = verdicts.of(found).values()
    assert (verdict.rating, verdict.reason, verdict.comment) == ("down", "outdated", "it is 30 now")


def test_only_the_owner_judges_and_only_answers(
    verdicts: Feedback, shelf: Conversations, publish: Publish
) -> None:
    found, message = keep(shelf, publish("Leave", "28 days."))
    other, _ = keep(shelf, publish("Travel", "By train."))
    for owner, where in ((BOB, found), (ELSEWHERE, found), (ALICE, other), (ALICE, "conv-never")):
        with pytest.raises(NotFound):
            verdicts.give(where, message, owner, Rating.UP)
    with pytest.raises(BadRequest, match="is a question"):
        verdicts.give(found, shelf.messages(found)[0].id, ALICE, Rating.UP)


def test_curators_see_what_they_may_read_newest_first_and_nothing_of_the_rest(
    verdicts: Feedback, shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    places_ = [
        publish("Leave", "28 days."),
        publish("Secret", "99 days.", ("staff",)),
        publish("Bus", "Line 9."),
    ]
    for passage, rating in zip(places_, (Rating.UP, Rating.DOWN, Rating.DOWN), strict=True):
        verdicts.give(*keep(shelf, passage, question=f"{passage.title}?"), ALICE, rating)
    seen = [(each.question, each.answer.text) for each in verdicts.judged(catalog, BOB)]
    assert seen == [("Bus?", "Line 9. [1]"), ("Leave?", "28 days. [1]")]
    down = verdicts.judged(catalog, ALICE, rating=Rating.DOWN)
    assert [each.question for each in down] == ["Bus?", "Secret?"]
    assert [each.question for each in verdicts.judged(catalog, ALICE, limit=1)] == ["Bus?"]
    assert verdicts.judged(catalog, ELSEWHERE) == []


def test_verdicts_come_in_pages_over_those_that_are_closed_to_the_curator(
    verdicts: Feedback, shelf: Conversations, catalog: Catalog, publish: Publish, monkeypatch: Any
) -> None:
    monkeypatch.setattr("rag.conversations.feedback.PAGE", 2)
    shut, open_ = publish("Secret", "99 days.", ("staff",)), publish("Bus", "Line 9.")
    for number in range(9):
        passage = open_ if number in (0, 4, 8) else shut
        verdicts.give(*keep(shelf, passage, question=f"{number}?"), ALICE, Rating.UP)
    seen, after = [], None
    while page := verdicts.judged(catalog, BOB, after=after, limit=1):
        seen += [each.question for each in page]
        after = page[-1].verdict.created_at, page[-1].verdict.message
    assert seen == ["8?", "4?", "0?"]


def test_liked_answers_come_with_the_sentences_that_prove_them(
    verdicts: Feedback, shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    for passage, rating in (
        (publish("Leave", "28 days."), Rating.UP),
        (publish("Bus", "Line 9."), Rating.DOWN),
    ):
        verdicts.give(*keep(shelf, passage), ALICE, rating)
    verdicts.give(*keep(shelf), ALICE, Rating.UP)  # a refusal proves nothing
    (good,) = liked(catalog, BOB)
    assert (good.question, good.answer) == ("Leave?", "28 days. [1]")
    assert [(each.quote, each.uri) for each in good.citations] == [("28 days.", "/handbook/Leave.md")]


def test_a_verdict_goes_with_its_conversation(
    verdicts: Feedback, shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    found, message = keep(shelf, publish("Leave", "28 days."))
    verdicts.give(found, message, ALICE, Rating.DOWN, comment="wrong")
    shelf.delete(found, ALICE)
    assert verdicts.judged(catalog, ALICE) == []
