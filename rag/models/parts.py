"""A model in several files, as makers publish large ones: its parts are found by their names and made one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rag.errors import ModelError
from rag.throwaway import run

COPY = "COPY"  # the kind of a file that is only to be made one
PART = re.compile(r"(?P<name>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<extension>\.gguf)")


def parts_of(path: Path) -> list[Path]:
    """The parts of a model of which `path` is one, in their order; none for a model in one file. Raises
    ModelError that names those that are missing."""
    found = PART.fullmatch(path.name)
    if found is None or int(found["count"]) < 2:
        return []
    count = int(found["count"])
    parts = [
        path.with_name(f"{found['name']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)
    ]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise ModelError(
            f"{path} is one of {count} parts of a model; {', '.join(missing[:3])} "
            f"{'is' if len(missing) == 1 else 'are'} not beside it: fetch all of them"
        )
    return parts


def whole_name(path: Path) -> Path:
    """What the file would be called if it were not in parts."""
    found = PART.fullmatch(path.name)
    return path.with_name(found["name"] + found["extension"]) if found else path


def merge(parts: list[Path], target: Path) -> None:
    """Write the parts as one file, as llama.cpp does it, in a child. Raises ModelError."""
    ending = run(
        [sys.executable, "-m", "rag.models.quantiser", str(parts[0]), str(target), COPY, "0"], lines=2
    )
    if ending.status:
        raise ModelError(
            f"the {len(parts)} parts of {whole_name(parts[0])} could not be merged: {ending.why}"
        )
