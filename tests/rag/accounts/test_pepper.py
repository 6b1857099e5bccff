"""The secret of a home."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from rag.accounts.pepper import Pepper
from rag.errors import SettingsError


def test_a_secret_that_cannot_be_written_is_told_and_nothing_of_it_stays(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(SettingsError, match=r"pepper cannot be written \(.+\): free space, or choose"):
            Pepper.of(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    assert Pepper.of(tmp_path).digest("keys", b"a") == Pepper.of(tmp_path).digest("keys", b"a")
