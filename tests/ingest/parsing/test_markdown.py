"""Markdown: code unbroken, and remarks that no reader sees left out."""

from __future__ import annotations

from ingest.parsing.markdown import parse


def shown(text: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in parse(text.encode()).blocks]


def test_remarks_are_left_out_and_counted() -> None:
    text = 'One <!-- a --> two\n\n<!-- b\nc\n-->\n\n[//]: # (d)\n\n[1]: http://x.example "e"\n\nthree'
    assert shown(text) == [("text", "One  two"), ("text", "three")]
    assert parse(text.encode()).warnings == ("3 hidden passages removed",)


def test_a_mark_of_a_remark_that_never_ends_is_text() -> None:
    assert shown("Write <!-- to begin.\n\nMore.") == [("text", "Write <!-- to begin."), ("text", "More.")]


def test_code_keeps_remarks_blank_lines_and_indents() -> None:
    fenced = "```xml\n<!-- keep -->\n\n  <a/>\n```\n"
    assert shown(fenced) == [("code", "<!-- keep -->\n\n  <a/>")]
    assert shown("Text:\n\n    a = 1\n\n      b\n\nEnd") == [
        ("text", "Text:"),
        ("code", "a = 1\n\n  b"),
        ("text", "End"),
    ]


def test_a_list_with_blank_lines_and_further_lines_is_one_block() -> None:
    assert shown("- a\n  more\n\n- b\n    1. c\n\nEnd") == [
        ("list", "- a\n  more\n- b\n    1. c"),
        ("text", "End"),
    ]
