"""Names for processes that no later process can have, so that a lease of a dead one is known as such."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """A name for this process that no later process can have: host, boot, pid, start time."""
    return f"{host()}:{os.getpid()}:{started(os.getpid())}"


def is_gone(worker: str) -> bool:
    """Whether a process surely does not run any more. Only known of processes on this machine."""
    where, pid, start = worker.rsplit(":", 2)
    return where == host() and started(int(pid)) != start


def host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip() if boot.exists() else ''}"


def started(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
