from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from rag.api.multipart import MAX_FIELD_BYTES, Form
from rag.errors import BadRequest, Cancelled

TYPE = "multipart/form-data; boundary=XyZ"
FILE = b"first line\r\n--Xy\r\n-\n--XyZ is a boundary behind CRLF only\n\r\n--Xy" + bytes(range(256))
BODY = (
    b'--XyZ\r\nContent-Disposition: form-data; name="collection"\r\n\r\nhandb\xc3\xb6ok\r\n'
    b'--XyZ\r\nContent-Disposition: form-data; name="file"; filename="a %22b%22 \xc3\xa9.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n" + FILE + b"\r\n"
    b'--XyZ\r\nContent-Disposition: form-data; name="file"; filename="empty"\r\n\r\n\r\n--XyZ--\r\n'
)


def read(body: bytes, *, step: int = 1000, kind: str = TYPE, leaves: bool = False) -> list[Any]:
    """What a form holds that arrives `step` bytes at a time."""
    pieces = [body[start : start + step] for start in range(0, len(body), step)]
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": p, "more_body": True} for p in pieces]
    last = (
        {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b"", "more_body": False}
    )
    arriving = iter([*messages, last])

    async def receive() -> Any:
        return next(arriving)

    async def parts() -> list[Any]:
        form = Form(Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive))
        found: list[Any] = []
        async for part in form.parts():
            if part.filename is None:
                found.append((part.name, await part.value()))
            else:
                found.append((part.filename, b"".join([piece async for piece in part.pieces()])))
        return found

    return asyncio.run(parts())


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 100_000])
def test_the_parts_are_the_same_wherever_the_body_is_cut(step: int) -> None:
    assert read(BODY, step=step) == [("collection", "handböok"), ('a "b" é.txt', FILE), ("empty", b"")]


@pytest.mark.parametrize("length", [10, 60, 150, 200, len(BODY) - 6])
def test_a_body_that_ends_early_is_refused(length: int) -> None:
    with pytest.raises(BadRequest, match="the form ends"):
        read(BODY[:length])


def test_a_sender_that_leaves_is_not_taken_for_one_that_is_done() -> None:
    with pytest.raises(Cancelled):
        read(BODY[:150], leaves=True)


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=XyZ"]
)
def test_what_is_not_a_form_is_refused(kind: str) -> None:
    with pytest.raises(BadRequest, match="multipart/form-data"):
        read(BODY, kind=kind)


def test_a_body_that_only_says_it_is_a_form_is_refused() -> None:
    with pytest.raises(BadRequest, match="not a form"):
        read(b'{"file": 1}')


def test_a_field_cannot_hold_a_file() -> None:
    body = BODY.replace("handböok".encode(), b"x" * (MAX_FIELD_BYTES + 1))
    with pytest.raises(BadRequest, match="'collection' is longer than"):
        read(body)
