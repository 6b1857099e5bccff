"""Whether a model may answer from KV of passages at other positions: only after a measurement that passed.

`rag eval chunk-cache` writes the verdict; it is bound to everything that KV depends on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag.remembered import recall, remember

FILE = "chunk-cache-gates.json"


def passed(home: Path, fingerprint: str) -> bool:
    """Whether the gate of exactly this model, build and layout was passed here."""
    return bool(verdict(home, fingerprint).get("passed"))


def verdict(home: Path, fingerprint: str) -> dict[str, Any]:
    """What was measured; empty if nothing was."""
    # A damaged file proves nothing, so it allows nothing.
    known = recall(home / FILE).get(fingerprint, {})
    return known if isinstance(known, dict) else {}


def record(home: Path, fingerprint: str, measured: dict[str, Any]) -> None:
    """Keep a verdict: `passed`, and the numbers it rests on. Raises OSError."""
    remember(home / FILE, fingerprint, measured)
