"""What a viewer of a kept answer sees now, over a real catalog."""

from __future__ import annotations

import json
from collections.abc import Callable

from rag.conversations.grounds import CHANGED, WITHHELD, Reading, Shown, Viewer, history, places
from rag.conversations.shelf import Conversations
from rag.store.catalog import Catalog
from rag.types import Answer, Message, Outcome, Principal
from tests.rag.conversations.conftest import ALICE, BOB, Publish, answered

LEAVE = "Part-timers ask their lead. Employees have 28 days of paid leave."


def keep(shelf: Conversations, answer: Answer, question: str = "Leave?", conversation: str = "") -> str:
    conversation = conversation or shelf.create(ALICE).id
    shelf.append(conversation, ALICE, question=question, answer=answer.text, rag=places(answer))
    return conversation


def look(shelf: Conversations, catalog: Catalog, conversation: str, viewer: Principal) -> list[Shown]:
    kind = Viewer.OWNER if viewer is ALICE else Viewer.OTHER
    return Reading(shelf.messages(conversation), catalog, viewer, kind).all()


def test_what_is_kept_of_an_answer_beside_its_text_holds_no_word_of_a_document(publish: Publish) -> None:
    kept = json.dumps(places(answered(publish("Paid leave", LEAVE))))
    assert "chunk-Paid leave-1" in kept
    assert "28 days" not in kept and "handbook/" not in kept and "Handbook" not in kept


def test_a_citation_comes_back_with_its_words_page_and_heading(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    answer = answered(publish("Leave", LEAVE))
    asked, shown = look(shelf, catalog, keep(shelf, answer), ALICE)
    assert (asked.role, asked.text, asked.rag) == ("user", "Leave?", None)
    assert shown.text == "Employees have 28 days of paid leave. [1]"
    assert shown.rag is not None
    assert tuple(shown.rag.citations) == answer.citations
    assert shown.rag.answer(shown.text).cost == answer.cost
    assert (shown.rag.why, shown.rag.confidence) == ("a quote answers it", 0.8)
    assert shown.rag.message == shown.id


def test_the_row_of_a_table_comes_back_under_its_header(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    answer = answered(publish("Rates", "| City | Euro |\n| --- | --- |\n| Bonn | 120 |"))
    assert answer.citations[0].header == "| City | Euro |"
    shown = look(shelf, catalog, keep(shelf, answer), ALICE)[1]
    assert shown.rag and tuple(shown.rag.citations) == answer.citations


def test_who_lost_the_right_to_read_a_source_sees_neither_its_words_nor_its_name(
    shelf: Conversations, catalog: Catalog, publish: Publish, narrow: Callable[..., None]
) -> None:
    passage = publish("Salaries", LEAVE, ("staff",))
    found = keep(shelf, answered(passage))
    assert look(shelf, catalog, found, ALICE)[1].rag
    narrow(passage, ("board",))
    shown = look(shelf, catalog, found, ALICE)[1]
    assert (shown.text, shown.rag, shown.withheld) == ("", None, WITHHELD)


def test_a_removed_source_and_a_forbidden_one_look_the_same(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    secret, gone = publish("Secret", LEAVE, ("staff",)), publish("Gone", LEAVE)
    forbidden, removed = keep(shelf, answered(secret)), keep(shelf, answered(gone))
    catalog.remove(gone.document_id)
    seen = [look(shelf, catalog, each, BOB)[1] for each in (forbidden, removed)]
    assert {(each.text, each.withheld, each.rag) for each in seen} == {("", WITHHELD, None)}


def test_one_source_out_of_reach_withholds_the_whole_answer(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    found = keep(shelf, answered(publish("Leave", LEAVE), publish("Secret", "Nobody knows.", ("staff",))))
    assert look(shelf, catalog, found, BOB)[1].withheld == WITHHELD


def test_after_a_change_the_owner_keeps_his_answer_and_others_do_not_get_it(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    found = keep(shelf, answered(publish("Leave", LEAVE)))
    publish("Leave", "Employees have 30 days of paid leave.")
    mine, theirs = (look(shelf, catalog, found, viewer)[1] for viewer in (ALICE, BOB))
    assert mine.text == "Employees have 28 days of paid leave. [1]" and mine.rag
    assert [(each.title, each.quote) for each in mine.rag.citations] == [("Leave", "")]
    assert (theirs.text, theirs.rag, theirs.withheld) == ("", None, CHANGED)


def test_a_refusal_or_note_that_names_a_closed_document_is_withheld_too(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    secret, leave = publish("Plan to sell", LEAVE, ("staff",)), publish("Leave", LEAVE)
    refusal = answered(secret, text="Nothing found. Nearest: Plan to sell.", outcome=Outcome.NOT_FOUND)
    plain = answered(secret, text="Nothing is close.", outcome=Outcome.NOT_FOUND)
    noted = answered(leave, notes=("two editions differ: “Plan to sell” says 3",))
    noted_passages = Answer(**{**fields(noted), "passages": (leave, secret)})
    seen = [
        look(shelf, catalog, keep(shelf, each), BOB)[1] for each in (refusal, plain, noted, noted_passages)
    ]
    assert [each.withheld for each in seen] == [WITHHELD, "", "", WITHHELD]


def fields(answer: Answer) -> dict[str, object]:
    return {name: getattr(answer, name) for name in Answer.__slots__}


def test_the_assistant_reads_on_from_what_its_reader_may_still_see(
    shelf: Conversations, catalog: Catalog, publish: Publish
) -> None:
    gone = publish("Gone", "The old rule is 12.")
    found = keep(shelf, answered(gone), "Old rule?")
    keep(shelf, answered(publish("Leave", LEAVE)), "Leave?", found)
    catalog.remove(gone.document_id)
    assert history(look(shelf, catalog, found, ALICE)) == (
        Message("user", "Old rule?"),
        Message("user", "Leave?"),
        Message("assistant", "Employees have 28 days of paid leave. [1]"),
    )
