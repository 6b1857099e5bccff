"""A whole system behind a real port, shared by the tests that hand in documents, and a real browser."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.api.app import create_app
from rag.assembly import System, open_system
from rag.sdk.loop import Loop
from rag.settings import Settings

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
WIDE, NARROW = "1000,800", "420,800"


class House:
    """A system with its own home, its children, and its application on a real port."""

    def __init__(self, loop: Loop, system: System, url: str) -> None:
        self.loop, self.system, self.url = loop, system, url
        self.http = httpx.Client(base_url=url, timeout=60)

    def upload(self, collection: str, **contents: str | bytes) -> dict[str, Any]:
        """Hand in files; `__` in their names stands for a dot. The reply."""
        files = [("file", (name.replace("__", "."), content)) for name, content in contents.items()]
        reply = self.http.post("/v1/documents", files=files, data={"collection": collection})
        assert reply.status_code == 202, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def finish(self, job: str) -> dict[str, Any]:
        """Wait until a job is over; the job."""
        deadline = time.monotonic() + 120
        while (found := self.http.get(f"/v1/jobs/{job}").json())["state"] in ("running", "paused"):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        result: dict[str, Any] = found
        return result

    def live(self, collection: str, **contents: str | bytes) -> list[str]:
        """Hand in files and wait; the ids of the documents, which answer now."""
        reply = self.upload(collection, **contents)
        assert self.finish(reply["job"])["state"] == "done"
        ids = [each["id"] for each in reply["documents"]]
        for document_id in ids:
            found = self.http.get(f"/v1/documents/{document_id}").json()
            assert found["state"] == "live", found
        return ids

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """While this is open nothing is indexed."""
        self.loop.run(self.system.feeder.turn.acquire())
        try:
            yield
        finally:
            self.loop.run(asyncio.sleep(0, self.system.feeder.turn.release()))

    def requests(self) -> int:
        """How many requests it is answering."""

        async def count() -> int:
            return sum("run_asgi" in repr(task.get_coro()) for task in asyncio.all_tasks())

        return self.loop.run(count())


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, listening: Any) -> Iterator[House]:
    home = tmp_path_factory.mktemp("house") / "kb"
    settings = Settings(
        home=home,
        server={"max_body_bytes": 10_000},
        ingest={"parse_workers": 1, "max_file_bytes": 100_000, "timeout_s": 20},
        embedding={"dtype": "float32"},
        store={"min_free_bytes": 1_000_000},
    )
    with contextlib.closing(Loop()) as loop, contextlib.ExitStack() as cleanup:
        stack = contextlib.AsyncExitStack()
        cleanup.callback(lambda: loop.run(stack.aclose()))
        system = loop.run(stack.enter_async_context(open_system(settings, generation=False)))
        loop.run(system.vectors.info())  # the index takes its time to start; no test should wait for that
        loop.run(stack.enter_async_context(system.feeder.working()))
        url = cleanup.enter_context(listening(create_app(system), loop))
        running = House(loop, system, url)
        with running.http:
            yield running


class Page:
    """One tab."""

    def __init__(self, session: httpx.Client) -> None:
        self.session = session

    def run(self, script: str, *arguments: Any) -> Any:
        body = {"script": script, "args": list(arguments)}
        reply = self.session.post("/execute/sync", json=body).json()["value"]
        assert not (isinstance(reply, dict) and "error" in reply), reply
        return reply

    def type(self, selector: str, text: str) -> None:
        found = self.session.post("/element", json={"using": "css selector", "value": selector}).json()
        reply = self.session.post(f"/element/{found['value'][ELEMENT]}/value", json={"text": text})
        assert reply.json()["value"] is None, reply.text

    def press(self, keys: str) -> None:
        """Keys as a person presses them, wherever the focus is."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.session.post("/actions", json={"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def reload(self) -> None:
        """Load the page anew; afterwards nothing of the old one is there to be seen."""
        assert self.session.post("/refresh", json={}).json()["value"] is None

    def ask(self, question: str) -> None:
        self.type("#question", question + "\ue007")

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)"
        found: list[str] = self.run(script, selector)
        return found

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 60
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


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no chromium and chromedriver on PATH (Debian: chromium, chromium-driver)")
    folder = tmp_path_factory.mktemp("driver")
    log = folder / "log"
    with log.open("w") as output:
        # In a group of its own, so that no browser outlives a driver that is cut short.
        process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while "started successfully on port" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        port = log.read_text().split("started successfully on port ")[1].split(".")[0]
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def browse(driver: str, tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Page]]:
    """Open a tab on an address; at its end the browser must have had nothing to complain about."""

    @contextlib.contextmanager
    def browse(url: str, *, dark: bool = False, size: str = WIDE) -> Iterator[Page]:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += [f"--window-size={size}", f"--user-data-dir={tmp_path / 'profile'}"]
        arguments += ["--disable-background-networking", *(["--force-dark-mode"] if dark else [])]
        options = {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        with httpx.Client(base_url=driver, timeout=60) as http:
            reply = http.post("/session", json={"capabilities": {"alwaysMatch": options}}).json()
            number = reply["value"]["sessionId"]
            with httpx.Client(base_url=f"{driver}/session/{number}", timeout=60) as session:
                session.post("/url", json={"url": url})
                try:
                    yield Page(session)
                    # A refused resource or a script error would stand here.
                    assert session.post("/se/log", json={"type": "browser"}).json()["value"] == []
                finally:
                    http.delete(f"/session/{number}").raise_for_status()

    return browse


@pytest.fixture(params=[{}])
def page(request: pytest.FixtureRequest, browse: Any, service: Any) -> Iterator[Any]:
    """The chat page of a service, once it says what it has."""
    with browse(service.url, **request.param) as page:
        page.until(lambda: page.texts("#status") == ["3 documents · smollm2-135m-instruct"])
        yield page
