"""Reads a form with files part by part as it arrives, so that a file never stands in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from rag.errors import BadRequest, Cancelled

MAX_FIELD_BYTES = 64_000
SILENCE_S = 60.0


class Part:
    """A field or a file of the form; `filename` None: a field. Read it before the next one."""

    def __init__(self, form: Form, options: dict[bytes, bytes]) -> None:
        self._form = form
        self.name = text(options.get(b"name", b""))
        self.filename = text(options[b"filename"]) if b"filename" in options else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its bytes as they come."""
        while (event := await self._form.event()) is not None:
            if isinstance(event, bytes):
                yield event
            elif event is END:
                return
        raise BadRequest("the form ends in the middle of a part")

    async def value(self) -> str:
        """A field as text. Raises BadRequest when it is too long for one."""
        whole = bytearray()
        async for piece in self.pieces():
            whole += piece
            if len(whole) > MAX_FIELD_BYTES:
                raise BadRequest(f"the field {self.name[:100]!r} is longer than {MAX_FIELD_BYTES} bytes")
        return whole.decode(errors="replace")


END = object()


class Form:
    """The parts of one request, in their order. Raises BadRequest when it is not a form."""

    def __init__(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise BadRequest("send the files as multipart/form-data")
        self._stream = aiter(request.stream())
        self._events: deque[Any] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = b"", b""
        self._whole = False
        self._parser = self._made(options[b"boundary"])

    async def parts(self) -> AsyncIterator[Part]:
        """Each field and file; what is not read of one is skipped."""
        while (event := await self.event()) is not None:
            if isinstance(event, dict):
                yield Part(self, event)
        if not self._whole:
            raise BadRequest("the form ends before it is whole")

    async def event(self) -> Any:
        """The options of a part that begins, bytes of it, or END of it; None at the end of the body."""
        while not self._events:
            try:
                async with asyncio.timeout(SILENCE_S):
                    data = await anext(self._stream)
                self._parser.write(data)
            except StopAsyncIteration:
                return None
            except TimeoutError:
                raise BadRequest(f"nothing came for {SILENCE_S:.0f} s") from None
            except MultipartParseError as error:
                raise BadRequest(f"the body is not a form: {error}") from None
            except ClientDisconnect:
                raise Cancelled("the sender went away before the form was whole") from None
        return self._events.popleft()

    def _made(self, boundary: bytes) -> MultipartParser:
        def field(data: bytes, start: int, end: int) -> None:
            self._field += data[start:end]

        def value(data: bytes, start: int, end: int) -> None:
            self._value += data[start:end]

        def header_end() -> None:
            self._headers[self._field.lower()] = self._value
            self._field, self._value = b"", b""

        def headers_finished() -> None:
            disposition = self._headers.get(b"content-disposition", b"")
            self._headers = {}
            self._events.append(parse_options_header(disposition.decode("latin-1"))[1])

        def end() -> None:
            self._whole = True

        return MultipartParser(
            boundary,
            {
                "on_header_field": field,
                "on_header_value": value,
                "on_header_end": header_end,
                "on_headers_finished": headers_finished,
                "on_part_data": lambda data, start, end: self._events.append(bytes(data[start:end])),
                "on_part_end": lambda: self._events.append(END),
                "on_end": end,
            },
        )


def text(raw: bytes) -> str:
    """A name as browsers write it: UTF-8, with three characters escaped."""
    found = raw.decode(errors="replace")
    for escape, character in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        found = found.replace(escape, character)
    return found
