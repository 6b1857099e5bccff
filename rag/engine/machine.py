"""How much memory this process may use: the machine's, and the limit of the container around it."""

from __future__ import annotations

import os
from pathlib import Path


def usable_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes allowed by the machine and by the cgroup, of version 2 or 1."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(installed, _limit(cgroup) or installed)


def _limit(cgroup: Path) -> int | None:
    for file in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        try:
            return int(file.read_text())
        except (OSError, ValueError):  # no such cgroup, or "max": no limit
            continue
    return None
