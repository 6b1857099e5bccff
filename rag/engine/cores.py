"""How many cores this process may use: its affinity, and the quota of the container around it."""

from __future__ import annotations

import math
import os
from pathlib import Path


def cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores allowed by scheduler affinity and cgroup quota; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min(allowed, math.ceil(_quota(cgroup) or allowed)))


def _quota(cgroup: Path) -> float | None:
    try:
        if (file := cgroup / "cpu.max").exists():
            quota, period = file.read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no cgroup, or "max": no quota
        return None
