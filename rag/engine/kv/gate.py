"""Whether a model may answer from KV of passages at other positions: only after a measurement that passed.

`rag eval chunk-cache` writes the verdict; it is bound to everything that KV depends on.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

FILE = "chunk-cache-gates.json"


def passed(home: Path, fingerprint: str) -> bool:
    """Whether the gate of exactly this model, build and layout was passed here."""
    return bool(verdict(home, fingerprint).get("passed"))


def verdict(home: Path, fingerprint: str) -> dict[str, Any]:
    """What was measured; empty if nothing was."""
    known = _read(home / FILE).get(fingerprint, {})
    return known if isinstance(known, dict) else {}


def record(home: Path, fingerprint: str, measured: dict[str, Any]) -> None:
    """Keep a verdict: `passed`, and the numbers it rests on."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / FILE
    fresh = file.with_suffix(".tmp")
    fresh.write_text(json.dumps({**_read(file), fingerprint: measured}, indent=1), "utf-8")
    fresh.replace(file)


def _read(file: Path) -> dict[str, Any]:
    # A damaged file proves nothing, so it allows nothing.
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(file.read_text("utf-8"))
        return known if isinstance(known, dict) else {}
    return {}
