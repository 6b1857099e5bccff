"""What every parser does, ours and those of others: a document that holds together, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ingest.parsing import parser, plugin
from ingest.parsing.blocks import ParsedDocument
from ingest.parsing.detection import Format
from ingest.parsing.parser import Options
from rag.errors import ParseError
from tests.journeys.examples.tickets import TicketParser

Parse = Callable[[bytes], ParsedDocument]
TICKET = b'{"subject": "No light", "turns": [{"who": "Ada", "said": "The lamp of room 3 is dark."}]}'
SAMPLES = {
    Format.TEXT: b"The lamp of room 3 is dark.",
    Format.MARKDOWN: b"# No light\n\nThe lamp of room 3 is dark.",
    Format.HTML: b"<h1>No light</h1><p>The lamp of room 3 is dark.</p>",
    Format.CSV: b"room,lamp\n3,dark\n4,lit\n",
    Format.JSON: b'{"room": 3, "lamp": "dark"}',
    Format.XML: b"<?xml version='1.0'?><room><lamp>The lamp of room 3 is dark.</lamp></room>",
    Format.EML: b"From: ada@example.org\nTo: bob@example.org\nSubject: No light\n\nRoom 3 is dark.",
    Format.VTT: b"WEBVTT\n\n00:00.000 --> 00:01.000\nRoom 3 is dark.\n",
}


def ours(kind: Format) -> Parse:
    return lambda data: parser.read(kind, data, Options())


PARSERS: dict[str, tuple[Parse, bytes]] = {kind.name: (ours(kind), data) for kind, data in SAMPLES.items()}
PARSERS["the example"] = (lambda data: TicketParser().parse(data, "1.ticket"), TICKET)


@pytest.fixture(params=list(PARSERS))
def case(request: pytest.FixtureRequest) -> tuple[Parse, bytes]:
    return PARSERS[request.param]


def test_a_document_holds_together(case: tuple[Parse, bytes]) -> None:
    parse, data = case
    document = parse(data)
    assert list(plugin.problems(document)) == []
    assert document.characters


def test_the_same_bytes_give_the_same_document(case: tuple[Parse, bytes]) -> None:
    parse, data = case
    assert parse(data) == parse(data)


@pytest.mark.parametrize("data", [b"", b"\x00\xff" * 100, b"{" * 50])
def test_what_cannot_be_read_is_a_reason_and_no_crash(case: tuple[Parse, bytes], data: bytes) -> None:
    parse, _ = case
    try:
        assert list(plugin.problems(parse(data))) == []
    except ParseError as reason:
        assert str(reason)
