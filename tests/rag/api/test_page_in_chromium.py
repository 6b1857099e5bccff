"""The chat page in a real browser, driven over WebDriver. Skipped where Debian's chromium is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rag.errors import WorkerDied


@pytest.fixture(params=["light"])
def page(request: pytest.FixtureRequest, browse: Any, service: Any) -> Iterator[Any]:
    with browse(service.url, dark=request.param == "dark") as page:
        yield page


def test_a_question_is_answered_with_citations_that_open(page: Any) -> None:
    page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
    page.ask("How many days of paid leave?")
    page.until(lambda: page.texts(".facts"))
    assert page.texts(".label") == ["Quoted from the documents"]
    assert page.texts(".words") == ["Employees have 28 days of paid leave a year. 1"]
    assert page.texts(".facts span") == [
        "tier extract",
        "48 tokens",
        "0.02 s",
        "0.000010 EUR (estimate)",
        "nothing left this machine",
    ]
    page.run("document.querySelector('.words .chip').click()")
    assert page.texts("#source[open] h2") == ["Leave"]
    assert page.texts("#source-where") == ["page 2 · Handbook > Leave"]
    assert page.texts("#source-quote") == ["Employees have 28 days of paid leave a year."]
    assert page.texts("#page:not([hidden])") == []  # no picture of a page without boxes
    page.photograph("citation")
    page.run("document.querySelector('#source').close()")
    page.photograph("answer")


@pytest.mark.parametrize("page", ["dark"], indirect=True)
def test_an_answer_that_is_not_there_is_said_plainly_in_the_dark_too(page: Any) -> None:
    page.ask("Which submarine?")
    page.until(lambda: page.texts(".facts"))
    assert page.texts(".answer.none .label") == ["Not in the documents"]
    page.photograph("not-found-dark")


def test_an_error_is_shown_with_its_sentence(page: Any, service: Any) -> None:
    page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
    service.library.failure, service.library.fails_after = WorkerDied("the engine process died"), 2
    page.ask("paid leave")
    page.until(lambda: page.texts(".answer.failed"))
    assert "the engine process died" in page.texts(".answer.failed")[0]
    page.photograph("error")


@pytest.mark.parametrize("service", [{"api_key": "s3cret"}], indirect=True)
def test_a_server_with_a_key_asks_for_it_once(page: Any) -> None:
    page.until(lambda: page.texts("#door[open] h2") == ["This server asks for a key"])
    page.photograph("key")
    page.run(
        "document.querySelector('#key').value = 's3cret'; document.querySelector('#door button').click()"
    )
    page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
    page.ask("paid leave")
    page.until(lambda: page.texts(".facts"))
    page.forget_log()


def test_stopping_stops_the_answer_on_the_server(page: Any, service: Any) -> None:
    service.library.holds_after = 1
    page.ask("paid leave")
    page.until(lambda: "Employees" in "".join(page.texts(".words")))
    page.run("document.querySelector('#stop').click()")
    page.until(lambda: page.texts(".label") == ["Stopped"])
    page.until(lambda: service.library.stopped_early == 1)


def test_markup_in_a_document_stays_text_and_asks_nobody(page: Any, service: Any, monkeypatch: Any) -> None:
    hostile = '<img src="http://elsewhere.example/x" onerror="document.title=1"> ![a](http://x.example/) [2]'
    plain = type(service.library).answer

    def answer(self: Any, found: Any, tier: Any) -> Any:
        given = plain(self, found, tier)
        return replace(
            given, text=hostile, citations=(replace(given.citations[0], quote=hostile, title=hostile),)
        )

    monkeypatch.setattr(type(service.library), "answer", answer)
    page.ask("paid leave")
    page.until(lambda: page.texts(".facts"))
    page.run("document.querySelector('.sources button').click()")
    assert page.texts(".words") == [hostile]
    assert page.texts("#source-quote") == [hostile]
    assert page.run("return document.title") == "Permafrost"
    script = "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)"
    assert set(page.run(script)) == {service.url.removeprefix("http://")}
