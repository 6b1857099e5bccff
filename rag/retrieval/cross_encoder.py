"""The child that reranks: one cross-encoder of a sentence-transformers folder, on the CPU."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder

from rag.errors import ModelError


class RerankService:
    """What the shared child "rerank" serves; see reranker.py. Raises ModelError without a model."""

    methods = ("scores", "info")

    def __init__(self, folder: str, threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._name = Path(folder).name
        try:
            self._model = CrossEncoder(
                folder, num_labels=1, device="cpu", local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"{folder} does not load as a cross-encoder: {error}") from None

    def scores(self, question: str, texts: list[str]) -> list[float]:
        if not texts:
            return []
        logits = self._model.predict(
            [(question, text) for text in texts],
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )
        return [1 / (1 + math.exp(-float(logit))) for logit in logits]

    def info(self) -> dict[str, Any]:
        return {"model": self._name, "max_tokens": self._model.max_length}

    def close(self) -> None:
        """Nothing to release."""
