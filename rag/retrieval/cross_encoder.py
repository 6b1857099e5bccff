"""The child that reranks: one cross-encoder of a sentence-transformers folder, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder

from rag.embedding.files import kind_of
from rag.embedding.graph import Graph, open_graph
from rag.errors import ModelError
from rag.models.verification import verified

Pair = tuple[str, str]

# A graph must give these the scores of the folder's own weights.
PROBES: tuple[Pair, ...] = (
    ("How many days of annual leave do I have?", "Every employee has 28 days of paid leave in a year."),
    ("How many days of annual leave do I have?", "The coffee machine is cleaned on Fridays."),
    ("Wer genehmigt Dienstreisen?", "Dienstreisen werden von der Abteilungsleitung genehmigt."),
)
CLOSE_ENOUGH = 0.05
AT_ONCE = 8


class RerankService:
    """What the shared child "rerank" serves; see reranker.py. Raises ModelError without a model.

    `model`: a name in models.lock, or a folder. `runtime`: torch, or onnx and openvino for a graph that lies
    in the folder.
    """

    methods = ("scores", "info")

    def __init__(self, model: str, home: str = "", threads: int = 0, runtime: str = "torch") -> None:
        if threads:
            torch.set_num_threads(threads)
        folder, _ = verified(model, Path(home))
        if kind_of(folder) != "cross-encoder":
            raise ModelError(
                f"{folder} holds no cross-encoder: neither its model_type nor its architecture says so"
            )
        self._name, self._graph = Path(model).name, None
        try:
            self._model = CrossEncoder(
                str(folder), num_labels=1, device="cpu", local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"{folder} does not load as a cross-encoder: {error}") from None
        if runtime != "torch":
            self._graph = self._checked(
                open_graph(folder, runtime, "auto", threads or torch.get_num_threads())
            )

    def scores(self, question: str, texts: list[str]) -> list[float]:
        pairs = [(question, text) for text in texts]
        if not pairs:
            return []
        logits = self._computed(self._graph, pairs) if self._graph else self._predicted(pairs)
        return [sigmoid(logit) for logit in logits]

    def info(self) -> dict[str, Any]:
        runtime = self._graph.name if self._graph else "torch"
        return {"model": self._name, "max_tokens": self._model.max_seq_length, "runtime": runtime}

    def close(self) -> None:
        """Nothing to release."""

    def _predicted(self, pairs: Sequence[Pair]) -> list[float]:
        """The logits by sentence-transformers."""
        found = self._model.predict(list(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return [float(each) for each in found]

    def _computed(self, graph: Graph, pairs: Sequence[Pair]) -> list[float]:
        """The logits by a graph, pairs of like length together."""
        logits = [0.0] * len(pairs)
        order = sorted(range(len(pairs)), key=lambda index: -len(pairs[index][1]))
        for start in range(0, len(order), AT_ONCE):
            batch = order[start : start + AT_ONCE]
            found = graph(self._model.preprocess([pairs[index] for index in batch]))
            for index, logit in zip(batch, found.flatten().tolist(), strict=True):
                logits[index] = logit
        return logits

    def _checked(self, graph: Graph) -> Graph:
        """The graph, if it scores as the weights do. Raises ModelError."""
        ways = (self._computed(graph, PROBES), self._predicted(PROBES))
        far = max(abs(sigmoid(ours) - sigmoid(theirs)) for ours, theirs in zip(*ways, strict=True))
        if far > CLOSE_ENOUGH:
            raise ModelError(
                f"the scores of {graph.file} are as far as {far:.2f} from those of the folder's own weights, "
                f"{CLOSE_ENOUGH} is allowed: it is of another model, or of too few bits"
            )
        self._model.to("meta")  # gives the memory of the weights back; what reads texts has none
        return graph


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
