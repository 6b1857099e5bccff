"""RTF, reStructuredText and Org keep their structure on the way through pandoc, which reads no other file."""

from __future__ import annotations

from pathlib import Path

from ingest.parsing.parser import parse


def shown(text: str, name: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in parse(text.encode(), name)[1].blocks]


def test_code_and_lists_of_a_restructured_text_stay_whole() -> None:
    text = "Rates\n=====\n\nUse it::\n\n    def f():\n\n        return 1\n\n- a\n\n- b\n\nEnd\n"
    assert shown(text, "a.rst") == [
        ("heading", "Rates"),
        ("text", "Use it:"),
        ("code", "def f():\n\n    return 1"),
        ("list", "- a\n- b"),
        ("text", "End"),
    ]


def test_an_org_text_keeps_headings_code_and_tables() -> None:
    text = "* Rates\n#+begin_src sh\nls -l\n#+end_src\n| Land | Rate |\n|------+------|\n| F | 1 |\n"
    assert shown(text, "a.org") == [("heading", "Rates"), ("code", "ls -l"), ("table", "Land | Rate\nF | 1")]


def test_a_rich_text_keeps_its_words_and_tables() -> None:
    text = r"{\rtf1\ansi Rates\par \trowd\cellx1000\cellx2000\pard\intbl a\cell b\cell\row\pard End\par}"
    assert shown(text, "a.txt") == [("text", "Rates"), ("table", "a | b"), ("text", "End")]


def test_another_file_is_not_drawn_in(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("CANARY")
    text = f"Before\n\n.. include:: {tmp_path / 'secret.txt'}\n\nAfter\n"
    assert "CANARY" not in " ".join(text for _, text in shown(text, "a.rst"))
