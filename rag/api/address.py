"""Where the running server of a home is: home/server.json, which `rag serve` writes and readers check."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx

from rag.durable import write_whole

FILE = "server.json"
PROBE_S = 2.0


def publish(home: Path, url: str, instance: str, token: str = "") -> Path:
    """Write the address of this process, and what the owner's commands show there; for his eyes only."""
    file = home / FILE
    written = {"url": url, "pid": os.getpid(), "instance": instance, "token": token}
    write_whole(file, json.dumps(written).encode())
    return file


def withdraw(home: Path, instance: str) -> None:
    """Remove the address again, unless another server has taken its place."""
    if read(home).get("instance") == instance:
        (home / FILE).unlink(missing_ok=True)


def find(home: Path) -> str | None:
    """The URL of the living server of this home. A file left by a killed server counts as none."""
    written = read(home)
    if not written:
        return None
    try:
        # Plain HTTP on this machine: loading certificates would take longer than the question.
        reply = httpx.get(f"{written['url']}/healthz", timeout=PROBE_S, trust_env=False, verify=False)
        # Another program may have taken the port since.
        alive = reply.json().get("instance") == written["instance"]
    except (httpx.HTTPError, ValueError, AttributeError):
        return None
    return str(written["url"]) if alive else None


def token(home: Path) -> str:
    """What the owner of the home shows to its server; empty where none runs."""
    return str(read(home).get("token", ""))


def read(home: Path) -> dict[str, Any]:
    """What server.json says; empty when there is none or it is not whole."""
    try:
        written = json.loads((home / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) and {"url", "instance"} <= written.keys() else {}
