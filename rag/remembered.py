"""What was found out here and need not be found out again: small JSON files of a home."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from rag.durable import write_whole


def recall(file: Path) -> dict[str, Any]:
    """What a file holds by name; nothing if it is missing, unreadable or damaged."""
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(file.read_text("utf-8"))
        return known if isinstance(known, dict) else {}
    return {}


def remember(file: Path, name: str, facts: dict[str, Any]) -> None:
    """Add to a file, or replace what it held by that name. Raises OSError; then the file is as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps({**recall(file), name: facts}, indent=1)
    write_whole(file, told.encode(), mode=0o666)
