from __future__ import annotations

from typing import Any

import pytest

from rag.conversations.shelf import TITLE_CHARACTERS, Conversations, shortened
from rag.errors import NotFound
from rag.store.catalog import Catalog
from rag.types import Principal

ALICE, BOB = Principal(user="alice", key="a"), Principal(user="bob", key="b")
OF_A_KEY, OWNER = Principal(key="key-9"), Principal()


def ask(shelf: Conversations, owner: Principal, question: str, conversation: str = "") -> str:
    conversation = conversation or shelf.create(owner).id
    shelf.append(conversation, owner, question=question, answer="So it is.", rag={"outcome": "quoted"})
    return conversation


def test_the_first_question_becomes_the_title_and_later_ones_do_not(shelf: Conversations) -> None:
    found = ask(shelf, ALICE, "How many days of paid leave\n do I have?")
    ask(shelf, ALICE, "And in the first year?", found)
    assert shelf.get(found, ALICE).title == "How many days of paid leave do I have?"
    texts = [(each.role, each.text) for each in shelf.messages(found)]
    assert texts[::2] == [
        ("user", "How many days of paid leave\n do I have?"),
        ("user", "And in the first year?"),
    ]
    assert texts[1::2] == [("assistant", "So it is.")] * 2


def test_a_long_title_ends_behind_a_whole_word() -> None:
    assert shortened("what " * 40) == "what " * 11 + "what…"
    assert shortened("x" * 100) == "x" * (TITLE_CHARACTERS - 1) + "…"
    assert len(shortened("Donaudampfschifffahrt und mehr " * 9)) <= TITLE_CHARACTERS + 1


@pytest.mark.parametrize("stranger", [BOB, OF_A_KEY, OWNER, Principal(tenant="other", user="alice")])
def test_nobody_but_its_owner_knows_a_conversation(shelf: Conversations, stranger: Principal) -> None:
    found = ask(shelf, ALICE, "Secret?")
    message = shelf.messages(found)[1].id
    told = set()
    for attempt in (
        lambda key: shelf.get(key, stranger),
        lambda key: shelf.rename(key, stranger, "Mine"),
        lambda key: shelf.delete(key, stranger),
        lambda key: shelf.share(key, stranger),
        lambda key: shelf.unshare(key, stranger),
        lambda key: shelf.rewind(key, message, stranger),
        lambda key: shelf.append(key, stranger, question="?", answer="!", rag={}),
    ):
        for key in (found, "conv-never"):
            with pytest.raises(NotFound) as error:
                attempt(key)
            told.add(error.value.message.replace(key, "ID"))
    assert told == {"no conversation 'ID'"}
    assert shelf.all(stranger) == []
    assert [each.title for each in shelf.all(ALICE)] == ["Secret?"]


def test_a_key_without_a_user_and_the_owner_have_conversations_of_their_own(shelf: Conversations) -> None:
    mine, theirs = ask(shelf, OWNER, "Mine?"), ask(shelf, OF_A_KEY, "Theirs?")
    assert [each.id for each in shelf.all(OWNER)] == [mine]
    assert [each.id for each in shelf.all(OF_A_KEY)] == [theirs]


def test_a_user_finds_his_conversations_with_another_key(shelf: Conversations) -> None:
    found = ask(shelf, ALICE, "Leave?")
    assert shelf.get(found, Principal(user="alice", key="new")).id == found


def test_pages_follow_each_other_without_a_gap(shelf: Conversations) -> None:
    made = [ask(shelf, ALICE, f"Question {number}?") for number in range(7)]
    ask(shelf, ALICE, "Once more?", made[2])
    seen, after = [], None
    while page := shelf.all(ALICE, after=after, limit=3):
        seen += [each.id for each in page]
        after = (page[-1].updated_at, page[-1].id)
    assert seen == [made[2], *(each for each in reversed(made) if each != made[2])]


def test_search_looks_into_titles_and_questions_of_any_alphabet(shelf: Conversations) -> None:
    leave = ask(shelf, ALICE, "Überstunden am Freitag?")
    ask(shelf, ALICE, "Wie lange?", leave)
    travel = ask(shelf, ALICE, "Hotels?")
    shelf.rename(travel, ALICE, "100 % of a trip")
    ask(shelf, BOB, "überstunden?")
    found = {
        words: [each.id for each in shelf.all(ALICE, search=words)] for words in ("ÜBERSTUNDEN", "lange")
    }
    assert found == {"ÜBERSTUNDEN": [leave], "lange": [leave]}
    assert [each.id for each in shelf.all(ALICE, search="100 %")] == [travel]
    assert shelf.all(ALICE, search="_") == []
    assert shelf.all(ALICE, search="so it is") == []  # answers hold words of documents


def test_a_turn_is_taken_back_with_all_behind_it(shelf: Conversations) -> None:
    found = ask(shelf, ALICE, "One?")
    ask(shelf, ALICE, "Two?", found)
    ask(shelf, ALICE, "Three?", found)
    shelf.rewind(found, shelf.messages(found)[3].id, ALICE)
    assert [each.text for each in shelf.messages(found)] == ["One?", "So it is."]
    ask(shelf, ALICE, "Two again?", found)
    shelf.rewind(found, shelf.messages(found)[2].id, ALICE)
    assert [each.text for each in shelf.messages(found)] == ["One?", "So it is."]
    other = ask(shelf, ALICE, "Other?")
    with pytest.raises(NotFound, match="no message"):
        shelf.rewind(found, shelf.messages(other)[0].id, ALICE)


def test_a_deleted_conversation_leaves_no_word_in_the_database(
    shelf: Conversations, catalog: Catalog
) -> None:
    found = ask(shelf, ALICE, "What is a heliotrope?")
    shelf.delete(found, ALICE)
    catalog.database.wipe()
    files = [file for file in catalog.home.iterdir() if file.is_file()]
    assert not any(b"heliotrope" in file.read_bytes() for file in files)
    assert shelf.messages(found) == []


def test_a_link_leads_members_of_the_tenant_there_until_it_is_taken_back(shelf: Conversations) -> None:
    found = ask(shelf, ALICE, "Leave?")
    token = shelf.share(found, ALICE)
    assert len(token) >= 43 and shelf.share(found, ALICE) == token
    assert shelf.shared(token, BOB).id == found
    for viewer, link in ((Principal(tenant="other", user="bob"), token), (BOB, "wrong"), (BOB, "")):
        with pytest.raises(NotFound):
            shelf.shared(link, viewer)
    shelf.unshare(found, ALICE)
    with pytest.raises(NotFound):
        shelf.shared(token, BOB)
    assert shelf.share(found, ALICE) != token


def test_what_nobody_asks_in_any_more_is_forgotten(shelf: Conversations, clock: Any) -> None:
    old, used = ask(shelf, ALICE, "Old?"), ask(shelf, ALICE, "Used?")
    clock.now += 89 * 86_400
    ask(shelf, ALICE, "Still used?", used)
    clock.now += 2 * 86_400
    assert shelf.forget_older(90) == 1
    assert [each.id for each in shelf.all(ALICE)] == [used]
    assert shelf.messages(old) == []
