"""The small files beside the weights of a sentence-transformers folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rag.errors import ModelError


def said(file: Path) -> dict[str, Any]:
    """The settings in a file; none without it. Raises ModelError for a damaged one."""
    return dict(read(file, {}))


def modules_of(folder: Path) -> list[dict[str, Any]]:
    """The parts that run one after another, as modules.json lists them; none without it."""
    return list(read(folder / "modules.json", []))


def read(file: Path, default: Any) -> Any:
    """What a file of JSON holds, or the default; ModelError for one of another form."""
    try:
        return type(default)(json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return default
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{file} cannot be read: {error}; fetch the model again") from None
