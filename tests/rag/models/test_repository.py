"""An encoder's repository, over a real HTTP server that lists and serves as hubs do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from rag.errors import BadRequest, ModelError, ModelMismatch
from rag.models.folders import below
from rag.models.intake import Wish
from rag.models.lockfile import entry
from rag.models.repository import is_repository, listed, pull_folder
from rag.models.shelf import Shelf
from rag.models.verification import verified
from tests.rag.models.encoders import CARD, encoder
from tests.rag.models.hubs import patient, running

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "intfloat/e5-small"
LARGE = ".safetensors"


class Hub:
    """Serves a folder as one commit of a repository, its listing in pages of `page` rows."""

    def __init__(self, folder: Path) -> None:
        self.files = {path: (folder / path).read_bytes() for path in below(folder)}
        self.rows = [self.row(path) for path in self.files]
        self.page = 4
        self.breaks_after: int | None = None  # bytes of the next weights
        self.fetched: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def row(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        row = {"type": "file", "path": path, "size": len(content), "oid": blob}
        if path.endswith(LARGE):
            row |= {"oid": "f" * 40, "lfs": {"oid": hashlib.sha256(content).hexdigest()}}
        return row

    def handler(hub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                at = urlsplit(self.path)
                if at.path == f"/api/models/{NAME}/revision/main":
                    self.tell({"sha": COMMIT})
                elif at.path == f"/api/models/{NAME}/tree/{COMMIT}":
                    start = int(parse_qs(at.query).get("from", ["0"])[0])
                    end = start + hub.page
                    more = f'<{hub.url}{at.path}?from={end}>; rel="next"' if end < len(hub.rows) else ""
                    self.tell([{"type": "directory", "path": "onnx"}, *hub.rows[start:end]], Link=more)
                elif at.path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
                    self.give(unquote(at.path).removeprefix(f"/{NAME}/resolve/{COMMIT}/"))
                else:
                    self.send_error(404)

            def tell(self, said: Any, **headers: str) -> None:
                self.give_bytes(json.dumps(said).encode(), headers)

            def give(self, path: str) -> None:
                hub.fetched.append(path)
                content = hub.files[path]
                asked = self.headers["Range"]
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                if path.endswith(LARGE) and hub.breaks_after is not None:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: hub.breaks_after])
                    return
                if start:
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                    self.send_header("Content-Length", str(len(content) - start))
                    self.end_headers()
                    self.wfile.write(content[start:])
                else:
                    self.give_bytes(content, {})

            def give_bytes(self, content: bytes, headers: dict[str, str]) -> None:
                self.send_response(200)
                for name, value in headers.items():
                    if value:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.files["model.safetensors"]).hexdigest()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(encoder(tmp_path / "published", card=CARD))
    with running(hub.server):
        yield hub


def test_an_encoder_is_fetched_and_pinned_file_by_file(
    hub: Hub, shelf: Shelf, client: httpx.Client, tmp_path: Path
) -> None:
    found = listed(client, NAME, hub.url, revision="main")
    assert (found.weights.path, found.weights.sha256, found.commit) == (
        "model.safetensors",
        hub.sha256,
        COMMIT,
    )
    seen: list[tuple[int, int]] = []
    made = pull_folder(
        shelf, found, hub.sha256, Wish(name="ours"), client=client, progress=lambda *now: seen.append(now)
    )
    assert seen[-1] == (found.size, found.size) and [done for done, _ in seen] == sorted(d for d, _ in seen)
    assert made == entry("ours", tmp_path / "home")
    assert (made.kind, made.licence, made.languages) == ("embedder", "mit", ("en", "de"))
    assert made.query_prompt == "query: ", "known by the repository's name"
    assert made.source == f"{NAME} at {COMMIT}"
    folder, sha256 = verified("ours", tmp_path / "home")
    assert sha256 == hub.sha256 and (folder / "1_Pooling" / "config.json").exists()
    assert not any(path.startswith(("onnx", ".git")) for path in hub.fetched)


def test_a_broken_transfer_goes_on_where_it_stopped(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    found = listed(client, NAME, hub.url, revision="main")
    hub.breaks_after = 10
    with pytest.raises(ModelError, match="broke off after 10 bytes.*run the same command"):
        pull_folder(shelf, found, hub.sha256, Wish(), client=client, sleep=patient)
    hub.breaks_after = None
    hub.fetched.clear()
    assert pull_folder(shelf, found, hub.sha256, Wish(), client=client, sleep=patient).name == "e5-small"
    assert hub.fetched.count("model.safetensors") == 1
    assert sorted(each.name for each in shelf.folder.iterdir()) == ["e5-small", "models.lock"]


def test_other_weights_are_not_even_fetched(hub: Hub, shelf: Shelf, client: httpx.Client) -> None:
    found = listed(client, NAME, hub.url, revision="main")
    with pytest.raises(ModelMismatch, match=f"expected sha256 {'0' * 64}, the hub has {hub.sha256}"):
        pull_folder(shelf, found, "0" * 64, Wish(), client=client)
    with pytest.raises(BadRequest, match="is no SHA-256"):
        pull_folder(shelf, found, "12", Wish(), client=client)
    assert not hub.fetched and not shelf.entries()


def test_a_small_file_that_is_not_the_listed_one_is_refused(
    hub: Hub, shelf: Shelf, client: httpx.Client
) -> None:
    found = listed(client, NAME, hub.url, revision="main")
    hub.files["config.json"] = hub.files["config.json"].replace(b"512", b"513")
    with pytest.raises(ModelMismatch, match=r"config\.json is not the file that the hub lists"):
        pull_folder(shelf, found, hub.sha256, Wish(), client=client)
    assert not shelf.entries()


@pytest.mark.parametrize("path", ["../evil.json", "/etc/passwd.json", "a/../../b.json", "a\\b.json"])
def test_a_listing_cannot_lead_out_of_the_folder(hub: Hub, client: httpx.Client, path: str) -> None:
    hub.rows.append({"type": "file", "path": path, "size": 1, "oid": "0" * 40})
    with pytest.raises(ModelError, match="which is no file of a folder"):
        listed(client, NAME, hub.url, revision="main")


def test_a_listing_that_does_not_end_is_given_up(hub: Hub, client: httpx.Client) -> None:
    hub.page = 0  # every page leads to itself
    with pytest.raises(ModelError, match="its list goes on after 20 pages"):
        listed(client, NAME, hub.url, revision="main")


def test_names_with_odd_characters_arrive_as_they_are(
    hub: Hub, shelf: Shelf, client: httpx.Client, tmp_path: Path
) -> None:
    odd = "1_Pooling/two words #1.json"
    hub.files[odd] = b"{}"
    hub.rows.append(hub.row(odd))
    found = listed(client, NAME, hub.url, revision="main")
    made = pull_folder(shelf, found, hub.sha256, Wish(name="ours"), client=client)
    assert f"ours/{odd}" in [file.path for file in made.files]
    assert verified("ours", tmp_path / "home")[1] == hub.sha256
    with pytest.raises(ModelError, match="revision/refs%2Fpr%2F1 answers 404"):
        listed(client, NAME, hub.url, revision="refs/pr/1")


def test_what_a_hub_does_not_have_is_told_with_the_way_out(hub: Hub, client: httpx.Client) -> None:
    with pytest.raises(ModelError, match="answers 404.*rag models add FOLDER"):
        listed(client, "intfloat/nothing", hub.url, revision="main")
    with pytest.raises(ModelError, match="answers 404"):
        listed(client, NAME, hub.url, revision="v9")
    with pytest.raises(BadRequest, match="no hub is set"):
        listed(client, NAME, "", revision="main")
    hub.rows = [hub.row("config.json")]
    with pytest.raises(ModelError, match=f"{NAME} at {COMMIT[:12]} cannot be used: it has no weights"):
        listed(client, NAME, hub.url, revision="main")
    hub.rows = [{"odd": 1}]
    with pytest.raises(ModelError, match="a row that is not understood"):
        listed(client, NAME, hub.url, revision="main")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("intfloat/e5-small", True),
        ("org/repo/file.gguf", False),
        ("org/file.gguf", False),
        ("https://example.org/x", False),
        ("name", False),
    ],
)
def test_a_repository_is_told_from_a_file(what: str, expected: bool) -> None:
    assert is_repository(what) is expected
