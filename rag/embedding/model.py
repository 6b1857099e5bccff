"""What the files of an embedder become: modules to run in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rag.embedding.int8 import Features


@dataclass(frozen=True, slots=True)
class Model:
    """`modules` take ids and mask to "sentence_embedding", shape (rows, dim); the first one is the encoder.

    `encoder`: its network, in the shape that Int8Encoder reads.
    """

    modules: tuple[Callable[[Features], Features], ...]
    encoder: Any
    pad: int
    dim: int
    library: str
