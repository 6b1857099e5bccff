"""Token vectors for late interaction (ColBERT): a text is one vector per token, and passages are compared by
the sum over the question's tokens of the nearest token of the passage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rag.embedding import library
from rag.embedding.embedder import Vectors

AT_ONCE = 8


class TokenEncoder:
    """One model in this process, in float32; https://arxiv.org/abs/2004.12832 says how it is used.

    Vectors have unit length, shape (tokens, dim); which tokens count is the model's to say. Passages longer
    than `max_tokens` are cut (0: the model does not say where). Raises ModelError when the folder holds no
    such model.
    """

    def __init__(self, folder: Path, *, name: str = "", threads: int = 1) -> None:
        self.name = name or folder.name
        self._model = library.load_late(folder)
        self._threads = threads
        own = getattr(self._model[0], "document_length", None)
        self.max_tokens = int(own or self._model.max_seq_length or 0)
        self.dim = int(self._model.get_embedding_dimension())

    def encode_query(self, text: str) -> Vectors:
        """The token vectors of a question."""
        torch.set_num_threads(1)
        found: Vectors = self._model.encode_query(
            text, convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        )
        return found

    def encode_documents(
        self, texts: Sequence[str], *, pause: Callable[[], None] | None = None
    ) -> list[Vectors]:
        """The token vectors of passages in their order; `pause` is called between forward passes."""
        vectors: list[Vectors] = []
        for start in range(0, len(texts), AT_ONCE):
            torch.set_num_threads(self._threads)
            vectors += self._model.encode_document(
                list(texts[start : start + AT_ONCE]),
                convert_to_numpy=True,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            if pause:
                pause()
        return vectors
