"""The chat page in a real browser, driven over WebDriver. Skipped where Debian's chromium is not."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.errors import WorkerDied

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="no chromium and chromedriver on PATH (Debian: chromium, chromium-driver)",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Page:
    """One tab."""

    def __init__(self, session: httpx.Client) -> None:
        self.session = session

    def run(self, script: str, *arguments: Any) -> Any:
        body = {"script": script, "args": list(arguments)}
        reply = self.session.post("/execute/sync", json=body).json()["value"]
        assert not (isinstance(reply, dict) and "error" in reply), reply
        return reply

    def ask(self, question: str) -> None:
        found = self.session.post("/element", json={"using": "css selector", "value": "#question"}).json()[
            "value"
        ]
        self.session.post(f"/element/{found[ELEMENT]}/value", json={"text": question + "\ue007"})

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)"
        found: list[str] = self.run(script, selector)
        return found

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 10
        while not (value := condition()):
            assert time.monotonic() < deadline, self.texts("body")
            time.sleep(0.05)
        return value

    def forget_log(self) -> None:
        """Drop what the browser has complained about so far, where the test wanted it."""
        self.session.post("/se/log", json={"type": "browser"})

    def photograph(self, name: str) -> None:
        """Kept where RAG_TEST_SCREENSHOTS says, for whoever wants to look."""
        if folder := os.environ.get("RAG_TEST_SCREENSHOTS"):
            image = self.session.get("/screenshot").json()["value"]
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(image))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("driver")
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(["chromedriver", "--port=0"], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 20
        while "started successfully on port" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        port = log.read_text().split("started successfully on port ")[1].split(".")[0]
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=["light"])
def page(request: pytest.FixtureRequest, driver: str, service: Any, tmp_path: Path) -> Iterator[Page]:
    arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1000,800",
    ]
    arguments += [f"--user-data-dir={tmp_path / 'profile'}", "--disable-background-networking"]
    if request.param == "dark":
        arguments.append("--force-dark-mode")
    wanted = {
        "alwaysMatch": {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
    }
    with httpx.Client(base_url=driver, timeout=60) as http:
        number = http.post("/session", json={"capabilities": wanted}).json()["value"]["sessionId"]
        with httpx.Client(base_url=f"{driver}/session/{number}", timeout=30) as session:
            session.post("/url", json={"url": service.url})
            try:
                yield Page(session)
                # A refused resource or a script error would stand here.
                assert session.post("/se/log", json={"type": "browser"}).json()["value"] == []
            finally:
                session.delete("")


def test_a_question_is_answered_with_citations_that_open(page: Page) -> None:
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
    page.photograph("citation")
    page.run("document.querySelector('#source').close()")
    page.photograph("answer")


@pytest.mark.parametrize("page", ["dark"], indirect=True)
def test_an_answer_that_is_not_there_is_said_plainly_in_the_dark_too(page: Page) -> None:
    page.ask("Which submarine?")
    page.until(lambda: page.texts(".facts"))
    assert page.texts(".answer.none .label") == ["Not in the documents"]
    page.photograph("not-found-dark")


def test_an_error_is_shown_with_its_sentence(page: Page, service: Any) -> None:
    page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
    service.library.failure, service.library.fails_after = WorkerDied("the engine process died"), 2
    page.ask("paid leave")
    page.until(lambda: page.texts(".answer.failed"))
    assert "the engine process died" in page.texts(".answer.failed")[0]
    page.photograph("error")


@pytest.mark.parametrize("service", [{"api_key": "s3cret"}], indirect=True)
def test_a_server_with_a_key_asks_for_it_once(page: Page) -> None:
    page.until(lambda: page.texts("#door[open] h2") == ["This server asks for a key"])
    page.photograph("key")
    page.run(
        "document.querySelector('#key').value = 's3cret'; document.querySelector('#door button').click()"
    )
    page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
    page.ask("paid leave")
    page.until(lambda: page.texts(".facts"))
    page.forget_log()


def test_stopping_stops_the_answer_on_the_server(page: Page, service: Any) -> None:
    service.library.pause_s = 0.2
    page.ask("paid leave")
    page.until(lambda: "Employees" in "".join(page.texts(".words")))
    page.run("document.querySelector('#stop').click()")
    page.until(lambda: page.texts(".label") == ["Stopped"])
    page.until(lambda: service.library.stopped_early == 1)


def test_markup_in_a_document_stays_text_and_asks_nobody(page: Page, service: Any, monkeypatch: Any) -> None:
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
