"""BERT in torch alone: the libraries that load any model take five seconds to import, this takes none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rag.embedding.int8 import Features

# What a checkpoint may hold beside the encoder: positions that count themselves, and the head of training.
UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


class Bert(nn.Module):  # type: ignore[misc]
    """Ids and mask to token embeddings, float32. Its parts have the names that Int8Encoder reads.

    `config`: that of the folder. Raises KeyError when a size is missing in it, ValueError when the weights
    are not those of such a model.
    """

    def __init__(self, config: dict[str, Any], weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.config = SimpleNamespace(**config)
        # Numbers for parameters that are replaced at once would take longer than the rest.
        with torch.device("meta"):
            self.embeddings = Embeddings(config)
            layers = [Layer(config) for _ in range(config["num_hidden_layers"])]
            self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        used = {name: weight.float() for name, weight in weights.items() if name not in UNUSED}
        if odd := shapes(used) ^ shapes(self.state_dict()):
            names = sorted({name for name, _ in odd})
            raise ValueError(f"weights missing, unknown or of another size: {', '.join(names)}")
        self.load_state_dict(used, assign=True)

    def forward(self, features: Features) -> Features:
        mask = features["attention_mask"]
        hidden = self.embeddings(input_ids=features["input_ids"])
        # Attention without a mask is faster, and batches by length often need none.
        seen = None if bool(mask.all()) else mask.bool()[:, None, None, :]
        for layer in self.encoder.layer:
            hidden = layer(hidden, seen)
        return {**features, "token_embeddings": hidden}


class Embeddings(nn.Module):  # type: ignore[misc]
    """What a layer gets first: the word, where it stands, and that there is one segment only."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.word_embeddings = table(config["vocab_size"], width)
        self.position_embeddings = table(config["max_position_embeddings"], width)
        self.token_type_embeddings = table(config["type_vocab_size"], width)
        self.LayerNorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])

    def forward(self, input_ids: Tensor) -> Tensor:
        segment, positions = self.token_type_embeddings.weight[0], self.position_embeddings.weight
        hidden = self.word_embeddings(input_ids) + segment + positions[: input_ids.shape[1]]
        normed: Tensor = self.LayerNorm(hidden)
        return normed


class Layer(nn.Module):  # type: ignore[misc]
    """Attention and feed-forward, each added to what came in and normalised."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, grown = config["hidden_size"], config["intermediate_size"]
        parts = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(parts), "output": ending(width, config)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, grown)})
        self.output = ending(grown, config)
        self.heads: int = config["num_attention_heads"]

    def forward(self, hidden: Tensor, seen: Tensor | None) -> Tensor:
        parts = self.attention["self"]
        query, key, value = (
            parts[name](hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)
        first, second = self.attention["output"], self.output
        hidden = first["LayerNorm"](first["dense"](mixed) + hidden)
        grown = F.gelu(self.intermediate["dense"](hidden))
        normed: Tensor = second["LayerNorm"](second["dense"](grown) + hidden)
        return normed


def shapes(weights: dict[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    """The names of weights with their sizes."""
    return {(name, tuple(weight.shape)) for name, weight in weights.items()}


def table(rows: int, width: int) -> nn.Embedding:
    """Vectors to look up. Made the usual way it would draw numbers, which here imports torch's compiler."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width))


def ending(width: int, config: dict[str, Any]) -> nn.ModuleDict:
    """How both halves of a layer end: back to the width of the model, then normalised."""
    size = config["hidden_size"]
    norm = nn.LayerNorm(size, eps=config["layer_norm_eps"])
    return nn.ModuleDict({"dense": nn.Linear(width, size), "LayerNorm": norm})


def mean_of_tokens(features: Features) -> Features:
    """One vector per text, the mean over its own tokens, padding left out."""
    mask = features["attention_mask"][:, :, None].float()
    vectors = (features["token_embeddings"] * mask).sum(dim=1) / mask.sum(dim=1)
    return {**features, "sentence_embedding": vectors}
