"""A server that fails as often as it is told, on a real port."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rag.types import Chunk, Passage
from rag.wire import error_body


@dataclass
class Moody:
    """Answers the first requests with `script`, one each, and all others well."""

    url: str = ""
    script: list[Any] = field(default_factory=list)  # a status, (status, Retry-After), or "hang up"
    streamed: bytes = b""  # what comes of an answer before its connection ends
    replies: dict[str, Any] = field(default_factory=dict)  # in place of REPLIES, by path
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def next(self) -> Any:
        return self.script.pop(0) if self.script else 200


REPLIES = {
    "/v1/search": {"object": "list", "passages": []},
    "/v1/documents": {"object": "list", "documents": [], "next": None},
    "/v1/embeddings": {"data": [{"index": 0, "embedding": [1.0]}]},
}
FOUND = Passage(Chunk("chunk", 0, "28 days of paid leave"), "document", 1, "Leave", "leave.md", 1.0)
STREAMED = (
    b'data: {"choices": [{"delta": {}, "finish_reason": null}], "rag": {"passages": '
    + json.dumps([asdict(FOUND)]).encode()
    + b"}}\n\n"
    + b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}\n\n'
    + b'data: {"choices": [{"delta": {"content": "28 days"}, "finish_reason": null}]}\n\n'
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    moody: Moody

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.split("?")[0]
        self.moody.seen.append((self.command, path, dict(self.headers), body))
        mood = self.moody.next()
        if mood == "hang up":
            self.close_connection = True
            return
        status, wish = mood if isinstance(mood, tuple) else (mood, None)
        if status == 200 and b'"stream": true' in body.replace(b'"stream":true', b'"stream": true'):
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(self.moody.streamed or STREAMED)  # and no [DONE]: it ends in the middle
            self.close_connection = True
            return
        reply = (REPLIES | self.moody.replies).get(path, {})
        if status != 200:
            codes = {401: "invalid_api_key", 429: "overloaded", 503: "worker_unavailable"}
            code = codes.get(status, "invalid_request")
            reply = error_body("not now", status=status, code=code)
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if wish is not None:
            self.send_header("Retry-After", str(wish))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def moody() -> Iterator[Moody]:
    state = Moody()
    handler = type("Told", (Handler,), {"moody": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()
