"""What a reader of the chat page meets: other scripts, small windows, a long answer, a server that goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag.types import Citation, DocumentState
from tests.rag.api.test_conversations_in_chromium import LEAVE, WORDS, Explaining, ask, click
from tests.rag.conftest import SmallLibrary

ARABIC = "مدة الإجازة ثلاثون يوما."
LONG = "Which depot stores vaccines and how many docks has it? " * 90  # 5,000 characters
HEIGHT = "return document.querySelector('#question').clientHeight"
FOCUS = "return document.activeElement.id || document.activeElement.className"
TOP = "return document.querySelector(arguments[0]).getBoundingClientRect().top"


@pytest.fixture
def library(library: SmallLibrary) -> SmallLibrary:
    return Explaining(database=library.database)


def cdp(page: Any, command: str, **parameters: Any) -> Any:
    """A command of Chromium's own protocol."""
    body = {"cmd": command, "params": parameters}
    return page.session.post("/goog/cdp/execute", json=body).json()["value"]


def resize(page: Any, width: int, height: int, *, mobile: bool = False) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    cdp(page, "Emulation.setDeviceMetricsOverride", **size)


def label(page: Any, selector: str) -> str:
    """The name of an element as a screen reader says it."""
    found = page.session.post("/element", json={"using": "css selector", "value": selector}).json()
    (element,) = found["value"].values()
    name: str = page.session.get(f"/element/{element}/computedlabel").json()["value"]
    return name


def answering(monkeypatch: Any, **parts: Any) -> None:
    """Let every answer have these parts."""
    plain = Explaining.answer
    monkeypatch.setattr(Explaining, "answer", lambda *given: replace(plain(*given), **parts))


def test_words_of_another_script_run_in_its_direction(page: Any, monkeypatch: Any) -> None:
    answering(monkeypatch, text=ARABIC, citations=())
    ask(page, LEAVE)
    place = (
        "const node = document.querySelector('.words').firstChild, range = document.createRange();"
        "range.setStart(node, arguments[0]); range.setEnd(node, arguments[0] + 1);"
        "return range.getBoundingClientRect().left"
    )
    first, stop = page.run(place, 0), page.run(place, len(ARABIC) - 1)
    assert stop < first - 50  # the full stop ends the line on its left


def test_the_field_is_as_high_as_what_is_written_in_it_up_to_a_limit(page: Any) -> None:
    low = page.run(HEIGHT)
    page.run(
        "const box = document.querySelector('#question'); box.value = arguments[0];"
        "box.dispatchEvent(new Event('input'))",
        LONG,
    )
    assert low * 2 < page.run(HEIGHT) <= 160
    click(page, "#send")
    page.until(lambda: page.texts(".label") == ["Not in the documents"])
    assert page.run(HEIGHT) == low
    shown = "const said = document.querySelector('.asked p'); return [said.clientHeight, said.scrollHeight]"
    seen, whole = page.run(shown)
    assert seen < 500 < whole  # a long question does not push its answer out of the window


def test_who_reads_further_up_is_left_there_and_keeps_the_focus(page: Any, service: Any) -> None:
    for _ in range(3):
        ask(page, LEAVE)
    service.library.holds_after = 1
    page.ask(LEAVE)
    page.until(lambda: "Employees" in page.texts(".turn:last-child .words")[0])
    page.run("document.querySelector('main').scrollTop = 0; document.querySelector('.chip').focus()")
    service.library.holds_after = None
    page.until(lambda: len(page.texts(".facts")) == 4)
    assert page.run("return document.querySelector('main').scrollTop") == 0
    assert page.run(FOCUS) == "chip"


def test_who_waits_at_the_end_sees_the_whole_answer_and_may_go_on_asking(page: Any) -> None:
    for _ in range(4):
        ask(page, LEAVE)
    bottom = "return document.querySelector('.turn:last-child').getBoundingClientRect().bottom"
    assert page.run(bottom) < page.run(TOP, "#composer") + 1
    assert page.run(FOCUS) == "question"


def test_thirty_citations_do_not_hide_the_words_they_are_for(page: Any, monkeypatch: Any) -> None:
    cited = [
        Citation(n, "d", f"Depot {n}", "/depots.md", "c", f"Depot {n} is cold.", 0, 9) for n in range(1, 31)
    ]
    text = " ".join(f"Depot {n} is cold. [{n}]" for n in range(1, 31))
    answering(monkeypatch, text=text, citations=tuple(cited))
    ask(page, LEAVE)
    assert len(page.texts(".words .chip")) == len(page.texts(".sources li")) == 30
    assert page.run(TOP, "main") <= page.run(TOP, ".words") < page.run(TOP, "#composer")
    page.photograph("thirty-citations")


@pytest.mark.parametrize("page", [{"size": "420,800"}], indirect=True)
def test_on_a_phone_the_choice_of_who_answers_has_its_name(page: Any) -> None:
    assert label(page, "#model") == "Answer by"


@pytest.mark.parametrize("page", [{"size": "420,800"}], indirect=True)
def test_a_tap_beside_the_list_closes_it_and_escape_gives_the_focus_back(page: Any) -> None:
    click(page, "#open-shelf")
    assert page.run(FOCUS) == "search"
    page.press("\ue00c")
    assert page.run(FOCUS) == "open-shelf"
    click(page, "#open-shelf")
    tap = {"x": 400, "y": 500, "button": "left", "clickCount": 1}
    for kind in ("mousePressed", "mouseReleased"):
        cdp(page, "Input.dispatchMouseEvent", type=kind, **tap)
    assert page.run("return document.querySelector('#open-shelf').ariaExpanded") == "false"


def test_magnified_four_times_the_answer_has_more_room_than_a_slit(page: Any) -> None:
    resize(page, 320, 256)
    ask(page, LEAVE)
    inside = (
        "const r = document.documentElement; return [r.scrollWidth <= r.clientWidth, r.scrollHeight > 512]"
    )
    assert page.run(inside) == [True, True]
    page.run("document.querySelector('.words').scrollIntoView()")
    assert page.run(TOP, "#composer") - page.run(TOP, ".words") > 120
    page.photograph("magnified")


def test_an_old_conversation_is_not_read_aloud_and_a_new_answer_is(page: Any) -> None:
    ask(page, LEAVE)
    spoken = "return document.querySelector('#talk').ariaLive"
    assert page.run(spoken) == "polite"
    page.reload()
    page.until(lambda: page.texts(".facts"))
    assert page.run(spoken) == "off"
    ask(page, LEAVE)
    assert page.run(spoken) == "polite"


def test_giving_up_an_edit_stays_at_the_question(page: Any) -> None:
    ask(page, LEAVE)
    click(page, ".asked .redo")
    page.press("\ue00c")
    assert page.run(FOCUS) == "redo"


def test_a_server_that_goes_in_the_middle_and_stays_away_is_told_in_words(page: Any, service: Any) -> None:
    service.library.holds_after = 2
    page.ask(LEAVE)
    page.until(lambda: page.texts(".words") == ["Employees have "])  # what arrives with the end may be lost
    service.library.failure, service.library.fails_after = RuntimeError("a bug"), 2  # breaks the connection
    service.library.holds_after = None
    page.until(lambda: page.texts(".answer.failed"))
    assert page.texts(".reason") == ["the connection ended before the answer was whole"]
    assert page.texts(".words") == ["Employees have "]
    page.forget_log()
    cdp(page, "Network.enable")
    away = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    cdp(page, "Network.emulateNetworkConditions", **away)
    click(page, ".answer .redo")
    page.until(lambda: "the server does not answer: is it running" in "".join(page.texts(".reason")))
    cdp(page, "Network.emulateNetworkConditions", **(away | {"offline": False}))
    service.library.failure = None
    click(page, ".answer .redo")
    page.until(lambda: page.texts(".facts"))
    assert page.texts(".words") == [WORDS[LEAVE]]
    page.forget_log()


def test_where_there_is_nothing_to_read_the_page_says_how_to_change_that(
    browse: Any, service: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(type(service.library), "counts", lambda *_: {DocumentState.LIVE: 0})
    with browse(service.url) as page:
        page.until(lambda: page.texts("#status") == ["0 documents · smollm2-135m-instruct"])
        assert "add some under Documents" in page.texts("#nothing-yet")[0]
        monkeypatch.undo()
        page.reload()
        page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
        assert page.texts("#nothing-yet:not([hidden])") == []


@pytest.mark.parametrize("service", [{"api_key": "s3cret"}], indirect=True)
def test_a_wrong_key_is_said_to_be_one(browse: Any, service: Any) -> None:
    with browse(service.url) as page:
        page.until(lambda: page.texts("#door[open]"))
        assert page.texts("#refused") == [""]
        page.type("#key", "guess\ue007")
        page.until(lambda: page.texts("#door[open] #refused") == ["The server refused that key."])
        page.type("#key", "s3cret\ue007")
        page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
        page.forget_log()


def test_a_session_that_ended_costs_neither_the_question_nor_the_place(
    browse: Any, serving: Any, idp: Any
) -> None:
    oidc = {"issuer": idp.issuer, "client_id": "permafrost"}
    with serving({"oidc": oidc}) as service, browse(service.url) as page:
        page.until(lambda: page.texts("#door[open] h2") == ["Sign in to this server"])
        page.session.post("/url", json={"url": f"{service.url}/login"})
        page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
        ask(page, LEAVE)
        where = page.run("return location.hash")
        user = service.accounts.users.named("ann", "default")
        service.accounts.users.suspend(user.id, "default")  # ends his sessions
        service.accounts.users.resume(user.id, "default")
        page.ask("And hotels?")
        page.until(lambda: page.texts("#door[open] #refused") == ["Your session has ended."])
        click(page, "#sign-in a")
        page.until(lambda: page.texts(".facts"))
        assert page.run("return location.hash") == where
        assert page.run("return document.querySelector('#question').value") == "And hotels?"
        page.forget_log()
        service.authentication.provider.close()
