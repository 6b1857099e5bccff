"""Sentences are exact spans, cut where a reader would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answering.sentences import sentences


def cut(text: str) -> list[str]:
    return [sentence.text for sentence in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rollo led them. He agreed.", ["Rollo led them.", "He agreed."]),
        ("Dr. Smith met J. R. Ewing. They spoke.", ["Dr. Smith met J. R. Ewing.", "They spoke."]),
        ("It costs 3.50 euros. Pay now!", ["It costs 3.50 euros.", "Pay now!"]),
        ("The U.S. Army came. It left.", ["The U.S. Army came.", "It left."]),
        ("Am 3. Oktober ist frei. Am 4. nicht.", ["Am 3. Oktober ist frei.", "Am 4. nicht."]),
        ("Tools, e.g. hammers, help. Use them.", ["Tools, e.g. hammers, help.", "Use them."]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("价格是十元。明天涨价！", ["价格是十元。", "明天涨价！"]),
        ("क्या यह सही है? हाँ। ठीक।", ["क्या यह सही है?", "हाँ।", "ठीक।"]),
        ("It was 1 May 2024. Then it rained.", ["It was 1 May 2024.", "Then it rained."]),
    ],
)
def test_a_full_stop_ends_a_sentence_only_where_a_reader_would_end_it(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


def test_a_wrapped_line_does_not_end_a_sentence_but_a_paragraph_does() -> None:
    assert cut("The first line\nis wrapped.\n\nHeading\n\nMore text") == [
        "The first line\nis wrapped.",
        "Heading",
        "More text",
    ]


def test_list_items_are_sentences_of_their_own() -> None:
    assert cut("You need:\n- a badge\n- a laptop\n1. Wash hands.\n2. Dry them.") == [
        "You need:",
        "- a badge",
        "- a laptop",
        "1. Wash hands.",
        "2. Dry them.",
    ]


@pytest.mark.parametrize(
    "table",
    [
        "Region | Limit\nNorth | 20\nSouth | 30",
        "| Region | Limit |\n|---|---|\n| North | 20 |\n| South | 30 |",
        "Region\tLimit\nNorth\t20\nSouth\t30",
    ],
)
def test_a_table_row_is_read_under_its_header_and_quoted_alone(table: str) -> None:
    found = sentences(f"Limits follow.\n\n{table}\n\nEnd.")
    south = next(each for each in found if "South" in each.text)
    assert "North" not in south.reading and "Limit" in south.reading
    assert "Limit" not in south.text and "30" in south.text


@given(st.text(alphabet=st.sampled_from("ab Z.!?。\n|-\t1,\"'ä)"), max_size=200))
def test_every_sentence_is_an_exact_span_and_spans_do_not_overlap(text: str) -> None:
    end = 0
    for sentence in sentences(text):
        assert text[sentence.start : sentence.end] == sentence.text
        assert sentence.start >= end
        end = sentence.end


@given(st.text(max_size=200))
def test_no_letter_or_digit_is_lost(text: str) -> None:
    kept = "".join(sentence.text for sentence in sentences(text))
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]
