from __future__ import annotations

from dataclasses import replace

import pytest

from rag.terminal import place, show_passages
from rag.types import Chunk, Citation, Passage

PASSAGE = Passage(
    Chunk(id="c", ordinal=0, text="root:x:0 [b]bold[/b]"),
    document_id="d",
    version=1,
    title="a\x1b[31m:x:.txt",
    uri="a",
    score=0.5,
)


def test_what_a_document_says_is_neither_markup_nor_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    show_passages([replace(PASSAGE, title="list.txt")])
    assert "root:x:0 [b]bold[/b]" in " ".join(capsys.readouterr().out.split())


def test_a_name_gives_the_terminal_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    show_passages([PASSAGE])
    assert "\x1b" not in capsys.readouterr().out
    cited = Citation(1, "d", PASSAGE.title, "a", "c", "root", 0, 4)
    assert place(cited) == "a?[31m:x:.txt"
