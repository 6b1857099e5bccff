"""A smaller model of one that is there: llama.cpp's own quantiser, in a child, since native code may die."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path

from rag.errors import BadRequest, ModelError
from rag.models.gguf import Gguf, read
from rag.models.header import Header, read_header
from rag.models.intake import Facts, digest_of, pinned
from rag.models.lockfile import Entry
from rag.models.shelf import Shelf
from rag.throwaway import run

# By their number in llama_ftype, the kinds that need no importance matrix.
KINDS = {
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q2_K": 10,
    "Q3_K_S": 11,
    "Q3_K_M": 12,
    "Q3_K_L": 13,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "IQ4_NL": 25,
    "IQ4_XS": 30,
    "BF16": 32,
}
WHOLE = ("F32", "F16", "BF16")


def quantise(
    shelf: Shelf, source: Entry, path: Path, kind: str, *, name: str = "", threads: int = 0
) -> Entry:
    """Enter `source` in another quantisation. Raises BadRequest for a kind or name that cannot be."""
    kind = kind.upper()
    if kind not in KINDS:
        raise BadRequest(f"no quantisation {kind!r}; have {', '.join(KINDS)}")
    if source.kind != "generator":
        raise BadRequest(f"{source.name!r} is of kind {source.kind}; only generators are quantised here")
    name = shelf.free_name(name or f"{source.name.removesuffix('-f16').removesuffix('-bf16')}-{kind.lower()}")
    shelf.room_for(most_bytes(read(path), kind))
    part = shelf.folder / f"{name}.{os.getpid()}.part"
    try:
        _run(path, part, kind, threads)
        assert source.template is not None, "a generator has a chat template"
        facts = Facts(source.licence, kind, source.template)
        entry = pinned(name, part, digest_of(part), facts, source=_origin(source, read_header(path)))
        shelf.place(part, entry)
    finally:
        part.unlink(missing_ok=True)
    return entry


def most_bytes(gguf: Gguf, kind: str) -> int:
    """Of a model in that kind: the bits per weight that its name says, and two for scales and for what
    llama.cpp keeps finer."""
    bits = 16 if kind in WHOLE else int(re.sub(r"\D*(\d+).*", r"\1", kind)) + 2
    return gguf.data_offset + sum(math.prod(tensor.shape) for tensor in gguf.tensors) * bits // 8


def _origin(source: Entry, header: Header) -> str:
    twice = "" if header.quantisation in WHOLE else f", already {header.quantisation}"
    return f"{source.name} (sha256 {source.sha256}{twice}), quantised on this machine"


def _run(path: Path, part: Path, kind: str, threads: int) -> None:
    command = [sys.executable, "-m", "rag.models.quantiser", str(path), str(part), kind, str(threads)]
    ending = run(command, lines=2)
    if ending.status:
        _try_to_write(part)
        raise ModelError(f"{path} could not be made {kind}: {ending.why}")


def _try_to_write(part: Path) -> None:
    """Raises ModelError if a file can take nothing more: llama.cpp calls that an "iostream error"."""
    try:
        with part.open("ab", buffering=0) as file:
            file.write(bytes(1 << 20))
            os.fsync(file.fileno())
    except OSError as error:
        raise ModelError(f"{part.parent} takes nothing more: {error.strerror}") from None
