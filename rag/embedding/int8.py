"""A BERT encoder in eight bits, for CPUs with VNNI: three to four times the speed of float32.

Weights have a scale per row, fixed at load; activations have one per token, so that the vector of a text does
not depend on what shares its pass. One scale per tensor would be a sixth faster, and moves the vectors
five times as far (cosine to float32 .995 against .999). The products are oneDNN's; the rest stays float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ARCHITECTURES = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
SMALLEST_SCALE, SMALLEST_WEIGHT = 1e-12, 1e-5
GELU_ZERO = 16

Features = dict[str, Tensor]
# By linear module: the largest magnitude of each of its input channels.
Peaks = dict[Any, Tensor]


def obstacle(encoder: Any, cpu_flags: frozenset[str]) -> str:
    """Why this encoder cannot run in eight bits on this CPU; empty: it can."""
    config = encoder.config
    if not VNNI_FLAGS & cpu_flags:
        return "the CPU has no VNNI"
    if config.model_type not in ARCHITECTURES or config.hidden_act != "gelu":
        return (
            f"its architecture is {config.model_type} with {getattr(config, 'hidden_act', 'no')} activation"
        )
    if getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        return f"its positions are {config.position_embedding_type}"
    return ""


@contextmanager
def watched(encoder: Any) -> Iterator[Peaks]:
    """The largest magnitudes that reach the layers in need of smoothing, while texts pass the encoder."""
    peaks: Peaks = {}

    def see(module: Any, inputs: tuple[Tensor, ...]) -> None:
        largest = inputs[0].detach().flatten(0, -2).abs().amax(dim=0)
        peaks[module] = torch.maximum(peaks.get(module, largest), largest)

    layers = encoder.encoder.layer
    watching = [each for layer in layers for each in (layer.attention.self.query, layer.intermediate.dense)]
    hooks = [module.register_forward_pre_hook(see) for module in watching]
    try:
        yield peaks
    finally:
        for hook in hooks:
            hook.remove()


class Int8Encoder:
    """Stands where sentence-transformers has its Transformer module: ids and mask to token embeddings."""

    def __init__(self, encoder: Any, peaks: Peaks | None = None) -> None:
        self._embeddings = encoder.embeddings
        self._layers = [Layer(layer, encoder.config, peaks or {}) for layer in encoder.encoder.layer]

    def __call__(self, features: Features) -> Features:
        ids, mask = features["input_ids"], features["attention_mask"]
        hidden = self._embeddings(input_ids=ids)
        rows, length, width = hidden.shape
        # Attention without a mask is faster, and batches by length often need none.
        seen = None if bool(mask.all()) else mask.bool()[:, None, None, :]
        hidden = hidden.reshape(rows * length, width)
        for layer in self._layers:
            hidden = layer(hidden, rows, seen)
        return {**features, "token_embeddings": hidden.view(rows, length, width)}


class Layer:
    """Attention and feed-forward of one post-norm layer, over tokens of shape (rows * length, width)."""

    def __init__(self, layer: Any, config: Any, peaks: Peaks) -> None:
        attention, output, up = layer.attention.self, layer.attention.output, layer.intermediate.dense
        parts = (attention.query, attention.key, attention.value)
        self._qkv = Int8Linear(
            torch.cat([part.weight for part in parts]),
            torch.cat([part.bias for part in parts]),
            peaks.get(attention.query),
        )
        self._out = Int8Linear(output.dense.weight, output.dense.bias)
        self._up = Int8Linear(up.weight, up.bias, peaks.get(up))
        self._down = Int8Linear(layer.output.dense.weight, layer.output.dense.bias)
        self._norms = (output.LayerNorm, layer.output.LayerNorm)
        self._heads = config.num_attention_heads

    def __call__(self, hidden: Tensor, rows: int, seen: Tensor | None) -> Tensor:
        width = hidden.shape[1]
        qkv = self._qkv(hidden).view(rows, -1, 3, self._heads, width // self._heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        mixed = mixed.transpose(1, 2).reshape(-1, width)
        hidden = self._norms[0](self._out.added_to(hidden, quantise(mixed)))
        grown = quantise_gelu(F.gelu(self._up(hidden)))
        normed: Tensor = self._norms[1](self._down.added_to(hidden, grown))
        return normed


@dataclass(frozen=True, slots=True)
class Quantised:
    """Rows as unsigned bytes: value = scale of its row * (byte - zero). Scales have shape (rows, 1)."""

    bytes: Tensor
    scales: Tensor
    zero: int


def quantise(values: Tensor) -> Quantised:
    """Bytes over the range of each row, the same in both directions. The values are written over."""
    scales = torch.maximum(values.amax(dim=1), -values.amin(dim=1)).clamp_min_(SMALLEST_SCALE) / 127
    return as_bytes(values, scales[:, None], 128)


def quantise_gelu(values: Tensor) -> Quantised:
    """Bytes over the range of what GELU gives, which is never below -0.17. The values are written over."""
    scales = (values.amax(dim=1) / (255 - GELU_ZERO)).clamp_min_(0.17 / GELU_ZERO)
    return as_bytes(values, scales[:, None], GELU_ZERO)


def as_bytes(values: Tensor, scales: Tensor, zero: int) -> Quantised:
    # All are positive once the zero is added, so that cutting off the fraction of x + 1/2 rounds.
    return Quantised(values.mul_(1 / scales).add_(zero + 0.5).to(torch.uint8), scales, zero)


class Int8Linear:
    """A linear layer with int8 weights, symmetric around zero, a scale per row of them.

    `peaks`: the largest magnitude seen of each input channel. A channel far above the others would take the
    range of every token; half of its excess (in logarithms) is moved into the weights, as in SmoothQuant,
    https://arxiv.org/abs/2211.10438.
    """

    def __init__(self, weight: Tensor, bias: Tensor, peaks: Tensor | None = None) -> None:
        weight = weight.detach().float()
        self._shrink: Tensor | None = None
        if peaks is not None:
            reach = weight.abs().amax(dim=0).clamp_min(SMALLEST_WEIGHT)
            grow = (peaks.clamp_min(SMALLEST_WEIGHT) / reach).sqrt()
            weight, self._shrink = weight * grow, 1 / grow
        self._scales = (weight.abs().amax(dim=1) / 127).clamp_min(SMALLEST_SCALE)
        self._zeros = torch.zeros(len(self._scales), dtype=torch.int64)
        self._bias = bias.detach().float().contiguous()
        whole = torch.round(weight / self._scales[:, None]).to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(whole, None)

    def __call__(self, values: Tensor) -> Tensor:
        x = quantise(values.clone() if self._shrink is None else values * self._shrink)
        product = self._product(x)
        return torch.addcmul(self._bias, product, x.scales, out=product)

    def added_to(self, residual: Tensor, x: Quantised) -> Tensor:
        """The residual plus what the layer gives."""
        product = self._product(x)
        return torch.addcmul(residual, product, x.scales, out=product).add_(self._bias)

    def _product(self, x: Quantised) -> Tensor:
        """Bytes times weights, in float32; the scales of the rows are still to come."""
        weights = (self._weight, self._scales, self._zeros, None)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            x.bytes, 1.0, x.zero, *weights, 1.0, 0, torch.float32, "none", [], "none"
        )
        return product
