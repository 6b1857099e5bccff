"""Lets go of the pages of a model file that are held twice."""

from __future__ import annotations

import ctypes
from pathlib import Path

MAPS = Path("/proc/self/maps")
MADV_DONTNEED = 4


def drop_pages(file: Path) -> int:
    """Take the mapped pages of a file out of this process; how many bytes were mapped, 0 where unknown.

    llama.cpp maps the file and copies most weights into the layout that the CPU likes, so a quantised model
    would count nearly twice. The mapping is shared and read-only: what is still used of it comes back from
    the page cache when it is touched. Linux only.
    """
    if not MAPS.exists():
        return 0
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    dropped = 0
    for line in MAPS.read_text().splitlines():
        extent, rights, _, _, _, *name = line.split(maxsplit=5)
        if name != [str(file.resolve())] or "w" in rights:
            continue
        start, end = (int(edge, 16) for edge in extent.split("-"))
        if libc.madvise(start, end - start, MADV_DONTNEED) == 0:
            dropped += end - start
    return dropped


__all__ = ["drop_pages"]
