"""The role of a dense embedder: a query side, a document side, and the tokens it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.embedding.prompts import Prompts

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Text to vectors of unit length, float32. Text beyond `max_tokens` is not read."""

    @property
    def name(self) -> str:
        """The model, as models.lock calls it."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in one vector."""
        ...

    @property
    def dtype(self) -> str:
        """The number format of the weights in use."""
        ...

    @property
    def prompts(self) -> Prompts:
        """What stands before a text."""
        ...

    @property
    def library(self) -> str:
        """The libraries that compute, with their versions."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens that the model reads of one text, its own special tokens included."""
        ...

    @property
    def full_dim(self) -> int:
        """Numbers in a vector of the model before it is cut to `dim`."""
        ...

    @property
    def trained_for_truncation(self) -> bool:
        """Whether the model's files say that its vectors may be cut; False: not known."""
        ...

    def embed_query(self, text: str, *, tenant: str | None = None) -> Vectors:
        """The vector of a question, shape (dim,). With a tenant it is remembered, for that tenant only:
        an answer that comes sooner must not tell that somebody else asked the same."""
        ...

    def embed_documents(
        self, texts: Sequence[str], *, pause: Callable[[], None] | None = None, batch_tokens: int = 0
    ) -> Vectors:
        """The vectors of passages in their order, shape (len(texts), dim); `pause` runs between passes.

        `batch_tokens`: how many in one pass, padding included; 0 as set.
        """
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each whole text, special tokens left out."""
        ...
