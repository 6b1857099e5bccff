"""Chunks: never over budget, along headings, tables with their header."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.chunking import HEADING_TOKENS, chunk, cut
from ingest.parsing.blocks import Block, table
from rag.embedding.tokens import TokenCounter
from rag.models.lockfile import entry, locate

MEASURE = TokenCounter(locate(entry("all-minilm-l6-v2")))
SENTENCE = "The quick brown fox jumps over the lazy dog near the river bank. "

words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30
) | st.sampled_from(["word ", "日本語のテキスト。", "👩‍👩‍👧‍👦", "a" * 150, "x.y.z! ", "\n\n", "| cell |"])
texts = st.lists(words, min_size=1, max_size=60).map("".join)
blocks = st.one_of(
    st.builds(Block, st.sampled_from(["text", "list", "code"]), texts),
    st.builds(lambda text, level: Block("heading", text, level=level), texts, st.integers(1, 6)),
    st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=8).map(
        lambda rows: table(rows) or Block("text", "empty")
    ),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(blocks, max_size=12), st.sampled_from([32, 64, 254]))
def test_no_chunk_is_over_budget_whatever_the_text(document: list[Block], budget: int) -> None:
    for piece in chunk(document, MEASURE.spans, budget=budget):
        path = " > ".join(piece.heading_path)
        whole = f"{path}\n{piece.text}" if path else piece.text
        assert len(MEASURE.spans(whole)) <= budget
        assert piece.text.strip()


@settings(max_examples=25, deadline=None)
@given(texts, st.integers(4, 100))
def test_cutting_loses_no_character_but_white_space(text: str, room: int) -> None:
    pieces = list(cut(text, MEASURE.spans, room))
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_chunk_carries_its_headings_and_pages() -> None:
    document = [
        Block("heading", "Travel", level=1, page=1),
        Block("heading", "Hotels", level=2, page=1),
        Block("text", SENTENCE * 5, page=1),
        Block("text", SENTENCE * 5, page=2),
    ]
    (only,) = chunk(document, MEASURE.spans, budget=254)
    assert only.heading_path == ("Travel", "Hotels")
    assert only.pages == (1, 2)
    assert only.tokens == len(MEASURE.spans("Travel > Hotels")) + len(MEASURE.spans(only.text))


def test_a_new_heading_starts_a_new_chunk_unless_the_section_is_small() -> None:
    long = [
        block
        for name in ("One", "Two")
        for block in (Block("heading", name, level=1), Block("text", SENTENCE * 4))
    ]
    assert [piece.heading_path for piece in chunk(long, MEASURE.spans, budget=254)] == [("One",), ("Two",)]
    short = [
        block
        for name in ("One", "Two")
        for block in (Block("heading", name, level=1), Block("text", f"{name} is short."))
    ]
    (only,) = chunk(short, MEASURE.spans, budget=254)
    assert "One is short." in only.text
    assert "Two" in only.text


def test_a_table_that_fits_stays_whole_and_a_long_one_repeats_its_header() -> None:
    small = table([["Country", "Rate"], ["France", "110"], ["Japan", "140"]])
    assert small
    (whole,) = chunk([Block("text", "Rates:"), small], MEASURE.spans, budget=254)
    assert whole.kind == "table"
    assert "France | 110" in whole.text
    large = table([["Country", "Rate"], *([f"Country number {n}", str(n)] for n in range(100))])
    assert large
    pieces = chunk([large], MEASURE.spans, budget=100)
    assert len(pieces) > 3
    assert all(piece.text.startswith("Country | Rate\n") for piece in pieces)
    rows = [row for piece in pieces for row in piece.text.split("\n")[1:]]
    assert rows == list(large.rows[1:])


def test_a_long_text_is_cut_at_sentence_ends() -> None:
    pieces = chunk([Block("text", SENTENCE * 60)], MEASURE.spans, budget=100)
    assert all(piece.text.endswith("bank.") for piece in pieces)


def test_a_heading_without_text_is_still_found() -> None:
    pieces = chunk([Block("heading", "Closed on Mondays", level=1)], MEASURE.spans, budget=254)
    assert ["Closed on Mondays" in piece.text for piece in pieces] == [True]


def test_a_long_heading_path_keeps_its_inner_end() -> None:
    document = [Block("heading", SENTENCE * 2, level=level) for level in (1, 2)]
    document += [Block("heading", "Inner", level=3), Block("text", SENTENCE)]
    (*_, last) = chunk(document, MEASURE.spans, budget=254)
    assert last.heading_path[-1] == "Inner"
    assert len(MEASURE.spans(" > ".join(last.heading_path))) <= HEADING_TOKENS


@pytest.mark.parametrize("length", [1, 5_000, 100_000])
def test_a_word_without_end_is_cut_too(length: int) -> None:
    pieces = chunk([Block("text", "a" * length)], MEASURE.spans, budget=254)
    assert sum(len(piece.text) for piece in pieces) == length
    assert max(len(piece.text) for piece in pieces) <= 2540
