"""Real servers on this machine: a small web site, and a certificate that our clients trust."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Answer = tuple[int, dict[str, str], bytes | Iterator[bytes]]


@dataclass
class Site:
    """A web site: answers by path, and a log of what was asked. An answer may depend on headers."""

    port: int = 0
    answers: dict[str, Answer | Callable[[dict[str, str]], Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def page(self, path: str, html: str, etag: str = "", **headers: str) -> None:
        """Serve a page; with an etag it answers 304 to those who know it."""

        def answer(asked: dict[str, str]) -> Answer:
            if etag and asked.get("if-none-match") == etag:
                return 304, {}, b""
            told = {"content-type": "text/html"} | ({"etag": etag} if etag else {}) | headers
            return 200, told, html.encode()

        self.answers[path] = answer


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            site.asked.append((self.path, headers))
            answer = site.answers.get(self.path, (404, {}, b""))
            status, told, body = answer(headers) if callable(answer) else answer
            self.send_response(status)
            for key, value in told.items():
                self.send_header(key, value)
            self.end_headers()
            # Whoever reads it may hang up in the middle.
            with suppress(OSError):
                for piece in (body,) if isinstance(body, bytes) else body:
                    self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run(
        [*command, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    return certificate, key


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The certificate, trusted as one of a company's own authority would be."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    return certificate


@contextmanager
def serving(command: Callable[[int], list[str]], **options: Any) -> Iterator[int]:
    """The port of a server for as long as it is needed; another one where somebody was quicker."""
    process, port = _started(command, options)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)


def _started(
    command: Callable[[int], list[str]], options: dict[str, Any]
) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(3):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, **options)
        deadline = time.monotonic() + 60
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return process, port
            except OSError:
                time.sleep(0.05)
            if time.monotonic() > deadline:
                process.kill()
    raise AssertionError("the server did not start")
