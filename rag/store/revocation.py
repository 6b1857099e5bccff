"""KV that was computed from documents holds their words, so it goes when one of them goes."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

FOLDER = "kv"
EPOCH = "epoch"


def revoke_kv(home: Path) -> None:
    """Delete all KV on disk, and make engines that run drop theirs: which blocks hold a passage is not known
    outside them."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The mark first: whoever reads it afterwards writes nothing older back.
    fresh = folder / f"{EPOCH}.{os.getpid()}.tmp"
    fresh.write_text(secrets.token_hex(8))
    fresh.replace(folder / EPOCH)
    for file in folder.glob("*/*"):  # what is half written holds their words too
        file.unlink(missing_ok=True)


def epoch(folder: Path) -> str:
    """Changes with every revocation; `folder` is that of the KV."""
    with contextlib.suppress(OSError):
        return (folder / EPOCH).read_text()
    return ""
