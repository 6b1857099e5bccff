"""One connection to the server, dropped when no request comes that is worth one: it holds a descriptor."""

from __future__ import annotations

import asyncio

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0
HEAD_BYTES = 64 * 1024  # of a head and of what may follow a body; a cookie and a token have a few thousand
PIPELINED = 8  # requests that are sent before the one in front of them is answered


class Connection(HttpToolsProtocol):
    """uvicorn's, which waits for ever for a request, and takes a head and a queue of any length."""

    _deadline: asyncio.TimerHandle | None = None
    _told = _untold = 0  # bytes of the head that the parser has told of, and that came since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._untold += len(data)
        super().data_received(data)
        if self._untold > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._told = 0

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._untold = 0
        if len(self.pipeline) >= PIPELINED:
            raise HttpParserError("too many requests in a row")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._untold = 0
        super().on_message_complete()

    def _count(self, *pieces: bytes) -> None:
        """Raises HttpParserError, which becomes a 400, for a head that is too large."""
        self._untold, self._told = 0, self._told + sum(map(len, pieces))
        if self._told > HEAD_BYTES:
            raise HttpParserError("the head is too large")

    def _watch(self) -> None:
        """Let the time run while there is nothing to answer; what trickles in does not begin it anew."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self.transport.close)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
