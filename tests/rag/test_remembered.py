"""What is remembered in a home, and what a damaged or unwritable file costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.remembered import recall, remember


def test_what_was_remembered_is_there_beside_what_was_there_before(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "facts.json"
    remember(file, "one", {"speed": 1})
    remember(file, "two", {"speed": 2})
    remember(file, "one", {"speed": 3})
    assert recall(file) == {"one": {"speed": 3}, "two": {"speed": 2}}
    assert [path.name for path in file.parent.iterdir()] == ["facts.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_damaged_file_holds_nothing_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "facts.json"
    file.write_bytes(content)
    assert recall(file) == {}
    remember(file, "one", {"speed": 1})
    assert recall(file) == {"one": {"speed": 1}}


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "facts.json").mkdir()
    with pytest.raises(OSError, match=r"facts\.json"):
        remember(tmp_path / "facts.json", "one", {})
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]
