"""Refuses zip containers that would unpack to more than any document needs. Reads only the directory."""

from __future__ import annotations

import io
import zipfile

from rag.errors import Damaged, LimitExceeded

MAX_MEMBERS = 10_000
MAX_TOTAL_BYTES = 1 << 30
MAX_RATIO = 200
RATIO_MATTERS_ABOVE = 10_000_000


def check_zip(data: bytes) -> None:
    """Raises LimitExceeded for a bomb, Damaged for a directory that cannot be read."""
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Damaged(f"the zip container cannot be read: {error}") from None
    if len(members) > MAX_MEMBERS:
        raise LimitExceeded(f"the container has {len(members)} members, the limit is {MAX_MEMBERS}")
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL_BYTES:
        raise LimitExceeded(f"the container unpacks to {total} bytes, the limit is {MAX_TOTAL_BYTES}")
    for member in members:
        ratio = member.file_size / max(1, member.compress_size)
        if member.file_size > RATIO_MATTERS_ABOVE and ratio > MAX_RATIO:
            raise LimitExceeded(f"a member is compressed {ratio:.0f} times, the limit is {MAX_RATIO}")
