"""A small file that is there whole and on disk, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, keep_first: bool = False) -> None:
    """Put a file in place, for its owner's eyes unless `mode` says more, of which the umask takes its part.

    `keep_first`: a file that is there stays, whoever made it. Raises OSError, and leaves nothing behind.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep_first:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)  # unlike a rename it never takes the place of another process's file
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
