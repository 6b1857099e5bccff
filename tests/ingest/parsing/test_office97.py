"""Word and PowerPoint of before 2007, by samples of the developer set: no library here can write them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ingest.parsing import piece_table
from ingest.parsing.parser import parse
from rag.errors import Damaged, ParseError

SAMPLES = Path(__file__).resolve().parents[4] / "shared/data/dev_set/documents"
pytestmark = pytest.mark.skipif(
    not SAMPLES.exists(), reason="the developer set is not beside this repository (../shared/data/dev_set)"
)


def test_a_word_document_keeps_headings_lists_and_tables() -> None:
    _, document = parse((SAMPLES / "expected_markdown/legacy_sample.doc").read_bytes(), "a.doc")
    found = [(block.kind, block.level, block.text) for block in document.blocks]
    assert ("heading", 1, "Swimming in the lake") in found
    assert ("heading", 2, "Let’s eat") in found
    assert ("list", 0, "- You can relax and look around\n- Paddle about\n- Enjoy summer warmth") in found
    (table,) = [block for block in document.blocks if block.kind == "table"]
    assert table.rows[:2] == ("| Food | Calories per portion", "Leaves | Ash, Elm, Maple | 50")


def test_a_presentation_has_a_page_per_slide_with_titles_and_notes() -> None:
    _, document = parse((SAMPLES / "files/legacy_sample.ppt").read_bytes(), "a.ppt")
    found = [(block.page, block.kind, block.text) for block in document.blocks]
    assert document.pages == 3
    assert (2, "heading", "Second slide title") in found
    assert (2, "list", "- Let’s introduce a list\n- With foo\n- Bar\n- And baz things") in found
    assert (2, "text", "Notes: Some notes on the second slide.") in found


@pytest.mark.parametrize("name", ["expected_markdown/legacy_sample.doc", "files/legacy_sample.ppt"])
def test_a_damaged_file_is_read_or_refused_and_never_crashes(name: str) -> None:
    data = (SAMPLES / name).read_bytes()
    for step in range(1, 40):
        broken = bytearray(data)
        for place in range(step * 997 % len(data), len(data), 4099):
            broken[place] = 0xFF
        with contextlib.suppress(ParseError):
            parse(bytes(broken), name)
    with pytest.raises(Damaged):
        parse(data[: len(data) // 8], name)


def test_property_lists_are_read_by_the_length_of_their_operands() -> None:
    listing = bytes.fromhex("162401 0b460200 17240a")
    assert piece_table.properties(listing) == {0x2416: 1, 0x460B: 2, 0x2417: 10}
