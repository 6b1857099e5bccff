"""Learned sparse vectors (SPLADE): which terms of its vocabulary a model takes a text to be about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rag.embedding import library
from rag.embedding.sparse import SparseVector

# Each text has a number for every token and every term of the vocabulary before they are pooled: of 256
# tokens and 30,522 terms these are 31 MB.
AT_ONCE = 4


class LearnedSparse:
    """One model in this process, in float32; https://arxiv.org/abs/2109.10086 says how its terms are made.

    Its weights are final: the index must not multiply them by IDF. Texts longer than `max_tokens` are cut
    (0: the model does not say where).
    Raises ModelError when the folder holds no such model.
    """

    def __init__(self, folder: Path, *, name: str = "", threads: int = 1) -> None:
        self.name = name or folder.name
        self._model = library.load_sparse(folder)
        self._threads = threads
        self.max_tokens = int(self._model.max_seq_length or 0)

    def encode_query(self, text: str) -> SparseVector:
        """The terms of a question, as the model's side for questions weighs them."""
        # One thread, as for its dense vector: beside a busy engine threads wait for each other.
        torch.set_num_threads(1)
        return terms(self._model.encode_query([text], show_progress_bar=False))[0]

    def encode_documents(
        self, texts: Sequence[str], *, pause: Callable[[], None] | None = None
    ) -> list[SparseVector]:
        """The terms of passages in their order; `pause` is called between forward passes."""
        vectors: list[SparseVector] = []
        for start in range(0, len(texts), AT_ONCE):
            torch.set_num_threads(self._threads)
            batch = list(texts[start : start + AT_ONCE])
            vectors += terms(self._model.encode_document(batch, show_progress_bar=False))
            if pause:
                pause()
        return vectors


def terms(rows: torch.Tensor) -> list[SparseVector]:
    """Each row of a tensor, shape (texts, vocabulary), as its terms above nothing."""
    weights = rows.float().to_dense().cpu()
    found = [row.nonzero().flatten() for row in weights]
    return [
        SparseVector(where.tolist(), row[where].tolist()) for row, where in zip(weights, found, strict=True)
    ]
