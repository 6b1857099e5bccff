"""A small file is put in place whole, or what was there stays."""

from __future__ import annotations

import resource
import signal
import stat
from pathlib import Path

import pytest

from rag.durable import write_whole


def test_a_file_is_put_in_place_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_of_the_first_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_whole(path, b"one", keep_first=True)
    write_whole(path, b"two", keep_first=True)
    assert path.read_bytes() == b"one" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep_first", [False, True])
def test_what_cannot_be_written_whole_leaves_what_was_there(keep_first: bool, tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_whole(path, b"one")
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, bytes(5000), keep_first=keep_first)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"one" and list(tmp_path.iterdir()) == [path]
