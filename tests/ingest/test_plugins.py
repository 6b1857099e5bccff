"""Parsers that others write: found, run under our limits, checked, and told apart by their editions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.declaration import parsers
from ingest.jobs import Summary
from ingest.parsing import plugin
from ingest.parsing.blocks import Block, ParsedDocument, Part
from ingest.parsing.isolation import ParseService
from ingest.parsing.plugin import Plugins
from ingest.pipeline import Pipeline
from rag.errors import ParseError, SettingsError
from rag.models.lockfile import entry, locate
from rag.settings import IngestSettings, Settings
from rag.store.catalog import Catalog
from rag.types import DocumentState, Principal
from tests.journeys.examples.tickets import TicketParser, TicketSource

HEAD = "from ingest.parsing.blocks import Block, ParsedDocument\n"
READS = """
class Drawings:
    def parse(self, data, name):
        return ParsedDocument((Block("text", f"{name} shows {len(data)} lines."),))
"""
Feed = Callable[..., Summary]


@pytest.fixture
def drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Write the module `drawings`, which only children ever import."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield lambda code: (folder / "drawings.py").write_text(HEAD + code) and None


@pytest.fixture
def feed(catalog: Catalog, indexes: Any, tmp_path: Path) -> Feed:
    """Run a pipeline with parsers of ours over a folder or a source."""

    def feed(what: Any, **named: Any) -> Summary:
        settings = Settings(home=tmp_path / "home", ingest=IngestSettings(parse_workers=1, timeout_s=5))
        pipeline = Pipeline(catalog, indexes, settings, parsers=named)
        what = [what] if isinstance(what, Path) else what
        return asyncio.run(pipeline.run(what, principal=Principal(groups=("everyone", "desk"))))

    return feed


@pytest.fixture(scope="module")
def service() -> ParseService:
    model, limits = str(locate(entry("all-minilm-l6-v2"))), (256, 5, 1_000_000_000, 10_000_000)
    return ParseService(model, *limits, ocr_languages=None)


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "house.dwg").write_bytes(bytes(range(256)))
    return folder


def texts(vectors: Any) -> list[str]:
    return sorted(text.strip() for _, text in vectors.points.values())


def test_a_source_and_a_parser_of_ones_own_feed_the_index(feed: Feed, tmp_path: Path, vectors: Any) -> None:
    turns = [{"who": "Ada", "said": "The lamp of room 3 is dark."}]
    ticket = {"id": "7", "subject": "No light", "turns": turns, "groups": ["desk"], "closed": False}
    export = tmp_path / "export.json"
    export.write_text(json.dumps([{**ticket, "changed": "2026-11-20"}]))
    parser = {".ticket": TicketParser}
    assert feed(TicketSource(export), **parser).published == 1
    assert texts(vectors) == ["No light\nAda: The lamp of room 3 is dark."]
    assert feed(TicketSource(export), **parser).published == 0
    export.write_text(json.dumps([{**ticket, "changed": "2026-11-21", "closed": True}]))
    assert feed(TicketSource(export), **parser).gone == 1
    assert texts(vectors) == []


def test_another_edition_of_a_parser_reads_its_documents_again(
    feed: Feed, drawings: Callable[[str], None], plans: Path, vectors: Any
) -> None:
    (plans / "note.txt").write_text("A note.")
    assert "binary data" in feed(plans).quarantined[0][1]
    drawings(READS)
    assert feed(plans, **{".dwg": "drawings:Drawings"}).published == 1
    assert "house.dwg shows 256 lines." in texts(vectors)
    drawings(READS.replace("lines", "strokes"))
    assert feed(plans, **{".dwg": "drawings:Drawings"}).published == 0
    assert feed(plans, **{".dwg": "drawings:Drawings@2"}).published == 1, "the note is left alone"
    assert "house.dwg shows 256 strokes." in texts(vectors)


def test_a_media_type_of_ours_is_read_in_another_way(
    feed: Feed, drawings: Callable[[str], None], plans: Path, vectors: Any
) -> None:
    (plans / "house.dwg").write_text("<html><body>A page.</body></html>")
    drawings(READS)
    feed(plans, **{"text/html": "drawings:Drawings"})
    assert texts(vectors) == ["house.dwg shows 33 lines."]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return [Block('text', 'the secret')]", "gave no document: list, not ParsedDocument"),
        ("return ParsedDocument((Block('para', 'the secret'),))", "blocks[0].kind is none of heading"),
        ("return ParsedDocument((Block('text', b'the secret'),))", "blocks[0].text is no str"),
        ("raise ValueError('the secret')", "the drawings:Drawings parser failed: ValueError"),
        ("import os; os.abort()", "the drawings:Drawings parser crashed (SIGABRT)"),
        ("bytearray(4_000_000_000)", "MiB of memory"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "PermissionError"),
        ("return ParsedDocument(())", "the document holds no text"),
    ],
)
def test_a_parser_that_fails_is_told_without_the_text_it_read(
    service: ParseService, drawings: Callable[[str], None], plans: Path, body: str, reason: str
) -> None:
    drawings(f"class Drawings:\n    def parse(self, data, name):\n        {body}\n")
    with pytest.raises(ParseError) as caught:
        service.read(str(plans / "house.dwg"), reader="drawings:Drawings")
    assert reason in str(caught.value) and "secret" not in str(caught.value)


def test_one_that_fails_or_cannot_be_loaded_keeps_no_other_document_from_its_turn(
    feed: Feed, drawings: Callable[[str], None], plans: Path, catalog: Catalog
) -> None:
    drawings("class Drawings:\n    def parse(self, data, name):\n        return None\n")
    (plans / "note.txt").write_text("A note.")
    summary = feed(plans, **{".dwg": "drawings:Drawings"})
    assert (summary.published, len(summary.quarantined)) == (1, 1)
    (plans / "new.txt").write_text("Another note.")
    with pytest.raises(SettingsError, match="parser drawings:Plans: drawings has no class Plans"):
        feed(plans, **{".dwg": "drawings:Plans"})
    assert not any(each.reason for each in catalog.documents(Principal())), "that is not the document's fault"
    feed(plans)
    assert catalog.counts()[DocumentState.LIVE] == 2, "the next run does what is left"


@pytest.mark.parametrize(
    ("code", "named", "said"),
    [
        ("", "nowhere.at_all:Drawings", "cannot be imported: No module named 'nowhere'"),
        ("", "drawings:Drawings", "drawings has no class Drawings"),
        ("Drawings = 3", "drawings:Drawings", "drawings has no class Drawings"),
        ("class Drawings: pass", "drawings:Drawings", "has no method parse"),
        ("1 / 0", "drawings:Drawings", "cannot be made: ZeroDivisionError"),
    ],
)
def test_what_keeps_a_parser_from_being_loaded_is_named(
    service: ParseService, drawings: Callable[[str], None], plans: Path, code: str, named: str, said: str
) -> None:
    drawings(code)
    with pytest.raises(SettingsError, match=f"parser {named}.*{said}"):
        service.read(str(plans / "house.dwg"), reader=named)


def test_what_cannot_be_a_parser_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    class Inside:
        def parse(self, data: bytes, name: str) -> ParsedDocument:
            raise NotImplementedError

    for key, value, said in [
        ("dwg", "a:B", "'dwg' is no extension"),
        (".DWG", "a:B", "small letters"),
        (".dwg", "a.b", "not written package.module:Class"),
        (".dwg", Inside, "at the top of a module"),
    ]:
        with pytest.raises(SettingsError, match=said):
            Plugins.of({key: value})  # type: ignore[dict-item]
    file = tmp_path / "ingest.toml"
    file.write_text('[parsers]\n".dwg" = "acme.cad:Drawings@3"\n')
    assert parsers(file) == {".dwg": "acme.cad:Drawings@3"}
    file.write_text("[parsers]\n'.dwg' = 3\n")
    with pytest.raises(SettingsError, match=r"write \[parsers\]"):
        parsers(file)


def test_every_part_of_an_answer_is_looked_at() -> None:
    good = ParsedDocument((Block("table", "a | b", rows=("a | b",)),), parts=(Part("a", b"x"),))
    assert list(plugin.problems(good)) == []
    for wrong in (
        ParsedDocument((), title=3),  # type: ignore[arg-type]
        ParsedDocument((), warnings=("a", 3)),  # type: ignore[arg-type]
        ParsedDocument((Block("text", "a", boxes=((1, 2),)),)),  # type: ignore[arg-type]
        ParsedDocument((Block("table", "a", rows=(3,)),)),  # type: ignore[arg-type]
        ParsedDocument((), parts=(Part("a", "text"),)),  # type: ignore[arg-type]
    ):
        assert next(iter(plugin.problems(wrong)))
