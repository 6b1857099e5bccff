"""Bytes that we keep: once each, and no longer than somebody wants them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rag.store.originals import Originals


def test_bytes_are_kept_once_under_their_digest(tmp_path: Path) -> None:
    originals = Originals(tmp_path)
    digests = set()
    for _ in range(2):
        draft = originals.draft()
        draft.write_bytes(b"the bytes")
        digests.add(originals.keep(draft))
        assert not draft.exists()
    (digest,) = digests
    assert digest == hashlib.sha256(b"the bytes").hexdigest()
    assert originals.path(digest).read_bytes() == b"the bytes"
    assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == 1


def test_what_lies_here_for_long_is_named_and_dropped_but_nothing_young(tmp_path: Path) -> None:
    originals = Originals(tmp_path)
    draft = originals.draft()
    draft.write_bytes(b"kept")
    digest = originals.keep(draft)
    left = originals.draft()
    left.write_bytes(b"half written by somebody who died")
    assert originals.old() == []
    assert set(originals.old(older_than_s=-1)) == {digest, left.name}
    assert originals.drop(digest)
    assert originals.drop(left.name)
    assert originals.old(older_than_s=-1) == []


def test_a_look_for_leftovers_is_due_once_a_day(tmp_path: Path) -> None:
    originals = Originals(tmp_path)
    assert not originals.is_due(), "there is nothing yet"
    originals.draft()
    assert originals.is_due()
    assert not originals.is_due()
    os.utime(originals.folder / "swept", (1, 1))
    assert originals.is_due()


def test_dropping_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert not Originals(tmp_path).drop("0" * 64)
