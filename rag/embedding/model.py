"""What the files of an embedder become: modules to run in turn, and what to put before a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rag.embedding.int8 import Features


@dataclass(frozen=True, slots=True)
class Model:
    """`modules` take ids and mask to "sentence_embedding", shape (rows, dim); the first one is the encoder.

    `encoder`: its network, in the shape that Int8Encoder reads. `prompts`: by side, query or document.
    """

    modules: tuple[Callable[[Features], Features], ...]
    encoder: Any
    prompts: Mapping[str, str]
    pad: int
    dim: int
    library: str
