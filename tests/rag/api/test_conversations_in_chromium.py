"""Conversations on the chat page in a real browser. Skipped where Debian's chromium is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rag.conftest import SmallLibrary
from tests.rag.conversations.conftest import OpenLibrary

LEAVE, HOTEL = "How many days of paid leave?", "What do hotels cost a night?"
WORDS = {
    LEAVE: "Employees have 28 days of paid leave a year. 1",
    HOTEL: "Hotels are paid up to 140 euros a night. 1",
}


class Explaining(OpenLibrary):
    """Tells how sure it is, why this tier answered, and what that took."""

    def answer(self, found: Any, tier: Any) -> Any:
        given = super().answer(found, tier)
        cost = replace(given.cost, energy_wh=0.012, energy_low_wh=0.009, energy_high_wh=0.015, co2e_g=0.005)
        return replace(given, cost=cost, confidence=0.82, why="a sentence of the documents answers it")


@pytest.fixture
def library(library: SmallLibrary) -> SmallLibrary:
    return Explaining(database=library.database)


def answers(page: Any) -> list[str]:
    """The words of every turn that is whole."""
    return [] if page.texts(".waiting") else page.texts(".words")


def ask(page: Any, question: str) -> None:
    turns = len(page.texts(".turn"))
    page.ask(question)
    page.until(lambda: len(answers(page)) == turns + 1 and page.texts("#send:not([hidden])"))


def click(page: Any, selector: str) -> None:
    page.run("document.querySelector(arguments[0]).click()", selector)


def look_for(page: Any, words: str) -> None:
    """All at once: of words typed slowly the list shows the beginnings too, each time drawn anew."""
    script = "const box = document.querySelector('#search'); box.value = arguments[0];"
    page.run(f"{script} box.dispatchEvent(new Event('input'))", words)


def titles(page: Any) -> list[str]:
    return page.texts("#conversations .name")


def test_a_conversation_survives_a_reload_and_is_found_named_and_deleted(page: Any, service: Any) -> None:
    ask(page, LEAVE)
    ask(page, HOTEL)
    page.reload()
    page.until(lambda: answers(page) == [WORDS[LEAVE], WORDS[HOTEL]])
    assert page.texts("#title") == [LEAVE]
    assert page.texts(".turn:last-child .trust") == ["high confidence"]
    page.photograph("conversation-wide")
    page.run("document.querySelector('#conversations button').focus()")
    redrawn = "return showConversations().then(() => document.activeElement.dataset.key === talk.id)"
    assert page.run(redrawn)
    click(page, "#fresh")
    page.until(lambda: page.texts("#welcome:not([hidden])"))
    ask(page, "Who cleans the coffee machine?")
    look_for(page, "HOTELS")
    page.run("document.querySelector('#search').focus()")
    page.until(lambda: titles(page) == [LEAVE])
    page.press("\ue015\ue007")  # down, Enter
    page.until(lambda: answers(page) == [WORDS[LEAVE], WORDS[HOTEL]])
    click(page, "#rename")
    page.run("document.querySelector('#new-name').value = 'Trips'")
    click(page, "#name button[value=rename]")
    look_for(page, "")
    page.until(
        lambda: titles(page) == ["Trips", "Who cleans the coffee machine?"] or titles(page)[1:] == ["Trips"]
    )
    click(page, "#forget")
    page.photograph("conversation-delete")
    click(page, "#confirm button[value=delete]")
    page.until(lambda: titles(page) == ["Who cleans the coffee machine?"])
    assert len(service.http.get("/v1/conversations").json()["conversations"]) == 1
    assert page.run("return location.hash") == ""


def test_the_last_question_is_asked_again_and_otherwise(page: Any, service: Any) -> None:
    ask(page, LEAVE)
    ask(page, HOTEL)
    assert (
        page.run("return [...document.querySelectorAll('.redo')].filter((each) => each.offsetParent).length")
        == 2
    )
    click(page, ".turn:last-child .deeds .redo")
    page.until(lambda: len(service.library.asked) == 3 and answers(page) == [WORDS[LEAVE], WORDS[HOTEL]])
    page.until(lambda: page.texts("#send:not([hidden])"))
    page.press("\ue013")  # arrow up in an empty composer
    page.until(lambda: page.texts(".editing"))
    page.run("document.querySelector('.editing textarea').value = 'Is the coffee machine cleaned on Friday?'")
    page.press("\ue007")
    page.until(lambda: answers(page)[1:] == ["The coffee machine is cleaned every Friday. 1"])
    (kept,) = service.http.get("/v1/conversations").json()["conversations"]
    messages = service.http.get(f"/v1/conversations/{kept['id']}").json()["messages"]
    assert [each["text"] for each in messages][::2] == [LEAVE, "Is the coffee machine cleaned on Friday?"]
    history = [each.content for each in service.library.asked[-1]["history"]]
    assert history == [LEAVE, "Employees have 28 days of paid leave a year. [1]"]


@pytest.mark.parametrize("page", [{"dark": True}], indirect=True)
def test_a_bad_answer_is_marked_with_a_reason_and_stays_so(page: Any, service: Any) -> None:
    ask(page, LEAVE)
    click(page, ".thumb.down")
    page.until(lambda: page.texts(".why-not"))
    page.run("document.querySelector('.why-not select').value = 'outdated'")
    page.type(".why-not input", "it is 30 now")
    page.photograph("feedback-dark")
    click(page, ".why-not button")
    page.until(lambda: page.texts(".said") == ["Thank you."])
    (seen,) = service.http.get("/v1/feedback").json()["feedback"]
    assert (seen["verdict"]["reason"], seen["verdict"]["comment"]) == ("outdated", "it is 30 now")
    page.reload()
    page.until(lambda: answers(page) == [WORDS[LEAVE]])
    assert page.run("return document.querySelector('.thumb.down').getAttribute('aria-pressed')") == "true"


@pytest.mark.parametrize("page", [{"size": "420,800"}], indirect=True)
def test_a_shared_conversation_is_read_on_a_phone_without_what_was_removed(page: Any, service: Any) -> None:
    ask(page, LEAVE)
    page.photograph("conversation-narrow")
    click(page, "#open-shelf")
    page.until(lambda: titles(page) == [LEAVE])
    page.photograph("shelf-narrow")
    click(page, "#conversations button")
    page.until(lambda: page.texts("#about:not([hidden]) #share") and answers(page))
    click(page, "#share")
    page.until(lambda: page.texts("#sharing[open] h2"))
    page.photograph("share-narrow")
    link = page.run("return document.querySelector('#link').value")
    assert link.startswith(f"{service.url}/#shared=")
    service.library.documents = lambda principal, **_paging: []
    page.run("document.querySelector('#sharing').close(); location.href = arguments[0]", link)
    page.until(lambda: page.texts(".answer.none .label") == ["Not shown"])
    assert page.texts(".words") == ["Its sources were removed, or are not open to you."]
    assert page.texts(".sources li, .facts, .deeds, #composer:not([hidden])") == []
    page.photograph("shared-narrow")
