"""Graphs made of torch models, as people export them for ONNX Runtime and OpenVINO."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from rag.embedding.bert import Bert

NAMES = ("input_ids", "attention_mask", "token_type_ids")


class Outside(torch.nn.Module):  # type: ignore[misc]
    """A model as its graph is called: ids, mask and segments, each an argument of its own."""

    def __init__(self, compute: Any, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.compute = network, compute

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        found: torch.Tensor = self.compute(self.network, input_ids, attention_mask, token_type_ids)
        return found


def export(compute: Any, network: torch.nn.Module, file: Path, output: str) -> Path:
    """Write `compute(network, ids, mask, segments)` as an ONNX graph with any number of rows and tokens."""
    ids, ones, zeros = torch.randint(5, 12, (2, 8)), torch.ones(2, 8).long(), torch.zeros(2, 8).long()
    file.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter is deprecated, and takes a tenth of the time
        torch.onnx.export(
            Outside(compute, network).eval(),
            (ids, ones, zeros),
            str(file),
            input_names=list(NAMES),
            output_names=[output],
            dynamic_axes=dict.fromkeys(NAMES, {0: "rows", 1: "tokens"}),
            dynamo=False,
        )
    return file


def of_embedder(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    """The graph of a BERT whose configuration is in a folder, where it belongs there."""
    encoder = Bert(json.loads((folder / "config.json").read_text()), weights)
    return export(token_vectors, encoder, folder / "onnx/model.onnx", "last_hidden_state")


def token_vectors(encoder: Any, ids: torch.Tensor, mask: torch.Tensor, segments: torch.Tensor) -> Any:
    # All text is of one segment here, and yet graphs ask for it.
    hidden = encoder.embeddings(input_ids=ids) + 0 * segments[:, :, None]
    for layer in encoder.encoder.layer:
        hidden = layer(hidden, mask.bool()[:, None, None, :])
    return hidden


def quantised(file: Path, name: str) -> Path:
    """A copy of a graph with weights in int8, as sentence-transformers' own export makes it."""
    target = file.with_name(name)
    quantize_dynamic(str(file), str(target), weight_type=QuantType.QInt8, per_channel=True)
    return target
