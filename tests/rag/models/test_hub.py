"""Fetching from a hub, over a real HTTP server that can break off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from rag.errors import BadRequest, ModelError, ModelMismatch
from rag.models.hub import Remote, offered, pull, remote
from rag.models.intake import Wish
from rag.models.lockfile import locate
from rag.models.shelf import Shelf
from rag.models.verification import verify
from tests.rag.models.hubs import patient, running

Maker = Callable[..., Path]


class Hub:
    """Serves one file below org/repo; `breaks` says after how many bytes the next answers end."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.breaks: list[int] = []
        self.ranges: list[str | None] = []
        self.honours_ranges = True
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def handler(hub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(hub.content).hexdigest()}"')
                self.end_headers()

            def do_GET(self) -> None:
                if self.path == "/org/repo/resolve/main/sub/tiny.gguf":  # as hubs do: to their store
                    self.send_response(302)
                    self.send_header("Location", "/store/tiny")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif self.path == "/round/x.gguf":
                    self.send_response(302)
                    self.send_header("Location", self.path)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif self.path == "/store/tiny":
                    self.give()
                else:
                    self.send_error(404)

            def give(self) -> None:
                asked = self.headers["Range"]
                hub.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and hub.honours_ranges else 0
                whole = len(hub.content)
                if asked and start >= whole:
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
                self.send_header("Content-Length", str(whole - start))
                self.end_headers()
                end = start + hub.breaks.pop(0) if hub.breaks else whole
                self.wfile.write(hub.content[start:end])

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def hub(made: Maker) -> Iterator[Hub]:
    hub = Hub(made("tiny.gguf", keys={"general.license": "mit"}).read_bytes())
    with running(hub.server):
        yield hub


def place(hub: Hub) -> Remote:
    return remote("org/repo/sub/tiny.gguf", hub.url)


def sha(hub: Hub) -> str:
    return hashlib.sha256(hub.content).hexdigest()


def test_a_file_of_a_hub_is_fetched_and_pinned(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    seen: list[tuple[int, int]] = []
    model = pull(
        shelf,
        place(hub),
        sha(hub),
        Wish(),
        client=client,
        progress=lambda done, size: seen.append((done, size)),
    )
    assert (model.name, model.licence, model.source) == ("tiny", "mit", "org/repo/sub/tiny.gguf")
    verify(locate(model, shelf.folder.parent), model)
    assert seen[-1] == (len(hub.content), len(hub.content))
    assert not list(shelf.folder.glob("*.part"))


def test_a_broken_transfer_goes_on_where_it_stopped(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    hub.breaks = [1000, 500]
    model = pull(shelf, place(hub), sha(hub), Wish(), client=client, sleep=patient)
    assert hub.ranges == [None, "bytes=1000-", "bytes=1500-"]
    verify(locate(model, shelf.folder.parent), model)


def test_a_transfer_that_stays_broken_is_kept_for_the_next_pull(
    hub: Hub, shelf: Shelf, client: httpx.Client
) -> None:
    hub.breaks = [10] * 4
    with pytest.raises(ModelError, match="broke off after 40 bytes .*run the same command"):
        pull(shelf, place(hub), sha(hub), Wish(), client=client, sleep=patient)
    assert not shelf.entries()
    pull(shelf, place(hub), sha(hub), Wish(), client=client)
    assert hub.ranges[-1] == "bytes=40-"


def test_a_server_that_knows_no_ranges_sends_everything_again(
    hub: Hub, shelf: Shelf, client: httpx.Client
) -> None:
    hub.breaks, hub.honours_ranges = [1000], False
    pull(shelf, place(hub), sha(hub), Wish(), client=client, sleep=patient)
    assert shelf.entries()["tiny"].size == len(hub.content)


def test_other_bytes_than_asked_for_are_deleted(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    with pytest.raises(ModelMismatch, match=f"expected sha256 {'0' * 64}, actual {sha(hub)}"):
        pull(shelf, place(hub), "0" * 64, Wish(), client=client)
    assert not list(shelf.folder.iterdir())


def test_a_file_that_was_already_whole_is_only_checked(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    shelf.room_for(0)
    (shelf.folder / f"tiny.{sha(hub)[:16]}.part").write_bytes(hub.content)
    assert pull(shelf, place(hub), sha(hub), Wish(), client=client).name == "tiny"


def test_what_is_not_there_is_named(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    with pytest.raises(ModelError, match=r"none\.gguf answers 404 Not Found"):
        pull(shelf, remote("org/repo/none.gguf", hub.url), "0" * 64, Wish(), client=client)
    hub.server.server_close()
    closed = remote("org/repo/x.gguf", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="broke off after 0 bytes"):
        pull(shelf, closed, "0" * 64, Wish(), client=client, sleep=patient)


def test_an_address_that_leads_nowhere_is_not_tried_again(
    hub: Hub, shelf: Shelf, client: httpx.Client
) -> None:
    for url in ("no-scheme/x.gguf", f"{hub.url}/round/x.gguf"):
        with pytest.raises(ModelError, match="cannot be fetched: .*; is the address right"):
            pull(shelf, Remote(url, "x", url), sha(hub), Wish(), client=client, sleep=pytest.fail)
    assert not list(shelf.folder.glob("*.part"))


def test_a_template_that_is_none_is_said_before_anything_is_fetched(
    hub: Hub, shelf: Shelf, client: httpx.Client
) -> None:
    with pytest.raises(BadRequest, match="no chat template 'nope'; have"):
        pull(shelf, place(hub), sha(hub), Wish(template="nope"), client=client)
    assert hub.ranges == []


def test_a_fetched_file_that_cannot_answer_is_named_with_what_to_do(
    made: Maker, hub: Hub, shelf: Shelf, client: httpx.Client
) -> None:
    hub.content = made("bert.gguf", "bert").read_bytes()
    with pytest.raises(ModelError, match=r"tiny\..*\.part cannot be a generator: .* delete it if there"):
        pull(shelf, place(hub), sha(hub), Wish(), client=client)
    assert not shelf.entries()


def test_a_part_that_cannot_be_written_is_told(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    shelf.room_for(0)
    (shelf.folder / f"tiny.{sha(hub)[:16]}.part").symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"\.part cannot be written: .*; run the same command"):
        pull(shelf, place(hub), sha(hub), Wish(), client=client, sleep=pytest.fail)


def test_a_fetched_file_waits_for_a_lock_that_can_be_written(
    hub: Hub, shelf: Shelf, client: httpx.Client, full: Callable[[], AbstractContextManager[None]]
) -> None:
    wanted = r"models\.lock cannot be written: No space left on device"
    with full(), pytest.raises(ModelError, match=wanted):
        pull(shelf, place(hub), sha(hub), Wish(), client=client)
    assert [file.suffix for file in shelf.folder.iterdir()] == [".part"] and not shelf.entries()
    pull(shelf, place(hub), sha(hub), Wish(), client=client)
    assert hub.ranges == [None, f"bytes={len(hub.content)}-"], "fetched twice"


def test_a_hub_is_asked_for_its_digest(hub: Hub, client: httpx.Client) -> None:
    assert offered(client, place(hub)) == sha(hub)


def test_an_address_needs_a_hub_or_is_whole() -> None:
    with pytest.raises(BadRequest, match=r"no hub is set.*--from URL or RAG_MODELS_HUB"):
        remote("org/repo/x.gguf", "")
    for odd in ("x.gguf", "org/repo", "org/../x.gguf", "org//x.gguf"):
        with pytest.raises(BadRequest, match="names no model"):
            remote(odd, "http://hub")
    assert remote("https://mirror.test/a/Big.Q4_0.gguf?x=1", "").source == "mirror.test/a/Big.Q4_0.gguf"
    assert remote("org/repo/x.gguf", "http://hub/").url == "http://hub/org/repo/resolve/main/x.gguf"


def test_a_digest_must_be_one(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    with pytest.raises(BadRequest, match="'abc' is no SHA-256"):
        pull(shelf, place(hub), "abc", Wish(), client=client)
