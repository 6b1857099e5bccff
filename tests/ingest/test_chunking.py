"""Chunks: never over budget, along headings, tables with their header."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ingest.chunking import HEADING_TOKENS, chunk
from ingest.cutting import cut
from ingest.parsing.blocks import Block, BlockKind, table
from ingest.ruler import PROBE, Ruler, Spans
from rag.embedding.tokens import TokenCounter
from rag.models.lockfile import entry, locate
from rag.types import Box, Chunk

MEASURE = TokenCounter(locate(entry("all-minilm-l6-v2")))
RULER = Ruler(MEASURE.spans)
SENTENCE = "The quick brown fox jumps over the lazy dog near the river bank. "

words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30
) | st.sampled_from(
    [
        "word ",
        "日本語のテキスト。",
        "👩‍👩‍👧‍👦",
        "a" * 150,
        "x.y.z! ",
        "\n\n",
        "| cell |",
        "  - item: ",
        "שלום עולם",
        "السعر 12,50؟",
        "नमस्ते ",
        "Tiếng Việt ",
        "\x1c",
        "[SEP]",
        "￥１＋２＝３",
        "e\u0301",
        "\u200b",
        "\u3000",
    ]
)
texts = st.lists(words, min_size=1, max_size=60).map("".join)
blocks = st.one_of(
    st.builds(Block, st.sampled_from(["text", "list", "code"]), texts),
    st.builds(lambda text, level: Block("heading", text, level=level), texts, st.integers(1, 6)),
    st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=8).map(
        lambda rows: table(rows) or Block("text", "empty")
    ),
)


def whole(piece: Chunk) -> str:
    """What the embedder gets."""
    return "\n".join(filter(None, (" > ".join(piece.heading_path), piece.text)))


def byte_pairs(text: str) -> Spans:
    """A tokenizer whose words begin with the space before them, trained on the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return lambda text: tokenizer.encode(text).offsets


BYTE_PAIRS = byte_pairs(SENTENCE * 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(blocks, max_size=12), st.sampled_from([32, 64, 254]))
def test_no_chunk_is_over_budget_whatever_the_text(document: list[Block], budget: int) -> None:
    for piece in chunk(document, MEASURE.spans, budget=budget):
        assert len(MEASURE.spans(whole(piece))) <= budget
        assert piece.text.strip()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(blocks, max_size=6), st.sampled_from([48, 254]))
def test_nor_with_a_tokenizer_whose_words_depend_on_their_neighbours(
    document: list[Block], budget: int
) -> None:
    for piece in chunk(document, BYTE_PAIRS, budget=budget):
        assert len(BYTE_PAIRS(piece.text)) + len(BYTE_PAIRS(" > ".join(piece.heading_path))) <= budget


@settings(max_examples=25, deadline=None)
@given(texts, st.integers(4, 100), st.sampled_from(["text", "list", "code"]))
def test_cutting_loses_no_character_but_white_space(text: str, room: int, kind: BlockKind) -> None:
    pieces = list(cut(text, RULER, room, kind=kind))
    assert "".join("".join(pieces).split()) == "".join(text.split())


@settings(max_examples=100, deadline=None)
@given(texts.filter(lambda text: "[SEP]" not in text))
def test_a_text_has_as_many_tokens_as_its_words(text: str) -> None:
    assert RULER.exact
    assert RULER.count(text) == len(MEASURE.spans(text))


def test_a_tokenizer_that_reads_words_with_their_punctuation_is_exact_too() -> None:
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    ruler = Ruler(lambda text: tokenizer.encode(text).offsets)
    assert ruler.exact
    assert ruler.count("a well-known (rule), too") == 4


def test_words_that_were_forgotten_are_learnt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.ruler.MAX_WORDS", 20)
    document = [Block("text", f"{SENTENCE * 20} {n} {SENTENCE.upper() * n}") for n in range(20)]
    remembered = Ruler(MEASURE.spans)
    assert [remembered.count(block.text) for block in document * 2] == MEASURE.count(
        [block.text for block in document * 2]
    )
    assert all(piece.tokens <= 100 for piece in chunk(document, MEASURE.spans, budget=100))


def test_a_tokenizer_whose_words_depend_on_their_neighbours_is_noticed() -> None:
    ruler = Ruler(BYTE_PAIRS)
    assert not ruler.exact
    assert ruler.measure(PROBE) == len(BYTE_PAIRS(PROBE))


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
    (only,) = chunk([Block("text", "Rates:"), small], MEASURE.spans, budget=254)
    assert only.kind == "table"
    assert only.text == "Rates:\n\nCountry | Rate\nFrance | 110\nJapan | 140"
    large = table([["Country", "Rate"], *([f"Country number {n}", str(n)] for n in range(100))])
    assert large
    pieces = chunk([large], MEASURE.spans, budget=100)
    assert len(pieces) > 3
    assert all(piece.text.startswith("Country | Rate\n") for piece in pieces)
    rows = [row for piece in pieces for row in piece.text.split("\n")[1:]]
    assert rows == list(large.rows[1:])


def test_a_caption_stays_with_the_first_part_of_its_table() -> None:
    rates = table([["Country", "Rate"], *([f"Country number {n}", str(n)] for n in range(40))])
    assert rates
    document = [Block("text", SENTENCE * 4), Block("text", "Table 3: rates by country"), rates]
    before, first, second, *_ = chunk(document, MEASURE.spans, budget=120)
    assert "Table 3" not in before.text
    assert first.text.startswith("Table 3: rates by country\n\nCountry | Rate\nCountry number 0 | 0\n")
    assert second.text.startswith("Country | Rate\n")


def test_a_title_above_the_columns_belongs_to_the_header() -> None:
    sheet = table(
        [["Stock on 1 May"], ["Part", "Bin", "Count"], *(["bolt", f"A{n}", "7"] for n in range(60))]
    )
    assert sheet
    pieces = chunk([sheet], MEASURE.spans, budget=100)
    assert len(pieces) > 2
    assert all(piece.text.startswith("Stock on 1 May\nPart | Bin | Count\n") for piece in pieces)


def test_a_wide_row_is_cut_between_columns_under_their_names() -> None:
    names = ["Serial", *(f"Reading {n}" for n in range(60))]
    sheet = table([names, *([f"S{row}", *(f"{row}.{n}" for n in range(60))] for row in range(3))])
    assert sheet
    pieces = chunk([sheet], MEASURE.spans, budget=120)
    seen = {}
    for piece in pieces:
        header, cells = (line.split(" | ") for line in piece.text.split("\n"))
        assert header[0] == "Serial"
        seen |= {(cells[0], name): cell for name, cell in zip(header[1:], cells[1:], strict=True)}
    assert seen == {(f"S{row}", f"Reading {n}"): f"{row}.{n}" for row in range(3) for n in range(60)}


def test_a_cell_longer_than_a_chunk_keeps_the_name_of_its_column() -> None:
    sheet = table([["Ticket", "Notes"], ["T-1", SENTENCE * 30]])
    assert sheet
    pieces = chunk([sheet], MEASURE.spans, budget=100)
    assert len(pieces) > 3
    assert all(piece.text.startswith("Ticket | Notes\nT-1 | The quick") for piece in pieces)


def test_a_list_that_fits_stays_whole_with_the_sentence_before_it() -> None:
    items = "\n".join(f"- certificate number {n} of the supplier" for n in range(16))
    document = [Block("text", SENTENCE * 6 + "The following are required:"), Block("list", items)]
    first, second = chunk(document, MEASURE.spans, budget=140)
    assert first.text.endswith("bank.")
    assert second.text == f"The following are required:\n\n{items}"
    assert second.kind == "list"


def test_a_long_list_is_cut_between_outer_items() -> None:
    item = "- Step {n}\n  - switch the pump off\n  - wait for the valve to close\n  - sign the log"
    pieces = chunk([Block("list", "\n".join(item.format(n=n) for n in range(12)))], MEASURE.spans, budget=100)
    assert len(pieces) > 2
    assert all(piece.text.startswith("- Step ") and piece.text.endswith("sign the log") for piece in pieces)


def test_a_list_that_comes_item_by_item_is_one_list() -> None:
    items = [Block("list", f"• certificate number {n} of the supplier", page=1 + n // 8) for n in range(16)]
    first, second = chunk([Block("text", SENTENCE * 14), *items], MEASURE.spans, budget=254)
    assert second.text == "\n".join(item.text for item in items)
    assert (first.pages, second.pages) == ((), (1, 2))


def test_code_is_cut_at_blank_lines_and_keeps_its_indent() -> None:
    function = "def reading_{n}(probe):\n    value = probe.read()\n    return value * 0.{n}"
    code = "\n\n".join(function.format(n=n) for n in range(12))
    pieces = chunk([Block("text", SENTENCE), Block("code", code)], MEASURE.spans, budget=100)
    assert len(pieces) > 3
    assert pieces[1].text.startswith("def reading_")
    assert all(piece.text.startswith(("def", "The")) and piece.kind == "code" for piece in pieces[1:])
    assert "\n    value = probe.read()\n" in pieces[1].text


def test_neighbours_of_one_section_share_its_number() -> None:
    document = [Block("text", SENTENCE * 4)]
    for name in ("One", "Two"):
        document += [Block("heading", name, level=1), Block("text", SENTENCE * 20)]
    pieces = chunk(document, MEASURE.spans, budget=120)
    assert [piece.section for piece in pieces] == sorted(piece.section for piece in pieces)
    assert {(piece.section, piece.heading_path) for piece in pieces} == {
        (0, ()),
        (1, ("One",)),
        (2, ("Two",)),
    }


def test_a_heading_is_not_left_behind_by_its_list() -> None:
    items = "\n".join(f"- certificate number {n} of the supplier" for n in range(16))
    document = [
        Block("heading", "Terms", level=1),
        Block("text", "These terms hold for a year."),
        Block("heading", "Papers", level=1),
        Block("list", items),
    ]
    first, second = chunk(document, MEASURE.spans, budget=115)
    assert (first.heading_path, first.text) == (("Terms",), "These terms hold for a year.")
    assert (second.heading_path, second.text) == (("Papers",), items)


def test_boxes_of_one_column_of_a_block_are_joined_and_columns_stay_apart() -> None:
    left = [Box(1, 50, top, 290, top + 40) for top in (100, 150)]
    right = Box(1, 310, 100, 550, 140)
    (only,) = chunk([Block("text", "Some words.", page=1, boxes=(*left, right))], MEASURE.spans, budget=254)
    assert only.boxes == (Box(1, 50, 100, 290, 190), right)


def test_each_box_of_a_chunk_says_where_its_words_start() -> None:
    tops = (100, 150, 200)
    document = [
        Block("text", f"Words {top}.", page=1, boxes=(Box(1, 50, top, 290, top + 40),)) for top in tops
    ]
    (only,) = chunk(document, MEASURE.spans, budget=254)
    found = {box.top: only.text[box.start :].split("\n")[0] for box in only.boxes}
    assert found == {top: f"Words {top}." for top in tops}


def test_a_block_that_runs_over_pages_starts_on_each_about_where_its_text_does() -> None:
    boxes = (Box(3, 50, 650, 550, 700), Box(4, 50, 50, 550, 200))
    words = " ".join(f"word{number}" for number in range(100)) + "."
    heading = Block("text", "Before.", page=3, boxes=(Box(3, 50, 600, 550, 620),))
    (only,) = chunk([heading, Block("text", words, page=3, boxes=boxes)], MEASURE.spans, budget=254)
    assert [box.start for box in only.boxes] == [0, 9, 9 + round(len(words) / 4)]


def test_a_part_of_a_block_names_only_the_pages_it_stands_on() -> None:
    boxes = tuple(Box(page, 50, 50, 550, 750) for page in (3, 4, 5))
    pieces = chunk([Block("text", SENTENCE * 60, page=3, boxes=boxes)], MEASURE.spans, budget=100)
    assert pieces[0].pages == (3,)
    assert pieces[len(pieces) // 2].pages == (4,)
    assert pieces[-1].pages == (5,)
    assert pieces[-1].boxes == boxes[2:]


def test_a_chunk_is_as_sure_as_its_least_sure_block_and_knows_its_language() -> None:
    document = [Block("text", "Read.", confidence=sure) for sure in (0.9, None, 0.6)]
    (only,) = chunk(document, MEASURE.spans, budget=254, language="de")
    assert (only.confidence, only.language) == (0.6, "de")
    (typed,) = chunk([Block("text", "Typed.")], MEASURE.spans, budget=254)
    assert typed.confidence is None


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
