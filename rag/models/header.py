"""What a GGUF file says of its model: sizes, rotation, windows, tokeniser. No weight is read."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import ModelError
from rag.models.gguf import Gguf, Tensor, read

ROPE_FACTORS = 4096
RECURRENT_KEYS = ("ssm.", "wkv.", "rwkv.", "shortconv.", "token_shift_count", "kda.")


@dataclass(frozen=True, slots=True)
class Rope:
    """How positions turn keys and queries. `scaling` is "" when there is none; `sections` (of M-RoPE) are
    dimensions per axis; `factors` divide the frequencies (the tensor rope_freqs.weight)."""

    freq_base: float = 10_000.0
    freq_base_swa: float | None = None
    dimensions: int = 0
    scaling: str = ""
    factor: float = 1.0
    sections: tuple[int, ...] = ()
    factors: tuple[float, ...] = ()
    long_factors: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """One model file. `heads` and `kv_heads` are of the layer that has most; `layer_bytes` are the weights of
    each layer, `other_bytes` those outside the layers; `bytes` is the least that the file must have."""

    path: Path
    architecture: str
    kind: str
    name: str
    licence: str
    context: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    value_size: int
    rope: Rope
    sliding_window: int
    causal: bool
    latent_attention: bool
    learned_positions: bool
    alibi: bool
    experts: int
    experts_used: int
    recurrent_keys: tuple[str, ...]
    tokenizer: str
    vocabulary: int
    control_tokens: tuple[str, ...]
    chat_template: str
    quantisation: str
    bytes: int
    layer_bytes: tuple[int, ...]
    other_bytes: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of one cell of KV cache in F16, all layers."""
        return 2 * self.layers * self.kv_heads * (self.head_size + self.value_size)


def read_header(path: Path) -> Header:
    """The facts of a model file. Raises ModelError for a file that is damaged, cut off or one of several."""
    return describe(read(path))


def describe(gguf: Gguf) -> Header:
    """The facts in the head of a GGUF file."""
    facts = _Facts(gguf)
    if (parts := facts.number("split.count")) > 1:
        raise ModelError(
            f"{gguf.path} is one of {parts} parts of a model: lay all of them side by side, called "
            f"NAME-00001-of-{parts:05}.gguf and so on, and `rag models add` the first"
        )
    layers, width, heads = facts.own("block_count"), facts.own("embedding_length"), facts.most("head_count")
    head_size = facts.own("attention.key_length") or (width // heads if heads else 0)
    layer_bytes, other_bytes = _shares(gguf.tensors, layers)
    names = {tensor.name for tensor in gguf.tensors}
    return Header(
        path=gguf.path,
        architecture=facts.architecture,
        kind=facts.text("general.type") or "model",
        name=facts.text("general.name"),
        licence=facts.text("general.license"),
        context=facts.own("context_length"),
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=facts.most("head_count_kv") or heads,
        head_size=head_size,
        value_size=facts.own("attention.value_length") or head_size,
        rope=_rope(facts, head_size, names),
        sliding_window=facts.own("attention.sliding_window"),
        causal=facts.get("attention.causal") is not False,
        latent_attention=facts.own("attention.kv_lora_rank") > 0,
        learned_positions="position_embd.weight" in names,
        alibi=facts.real("attention.max_alibi_bias", 0.0) > 0,
        experts=facts.own("expert_count"),
        experts_used=facts.own("expert_used_count"),
        recurrent_keys=facts.named(RECURRENT_KEYS),
        tokenizer=facts.text("tokenizer.ggml.model"),
        vocabulary=gguf.lengths.get("tokenizer.ggml.tokens", 0),
        control_tokens=gguf.control_tokens,
        chat_template=facts.text("tokenizer.chat_template"),
        quantisation=_majority(gguf.tensors),
        bytes=max((gguf.data_offset + one.offset + one.bytes for one in gguf.tensors), default=0),
        layer_bytes=layer_bytes,
        other_bytes=other_bytes,
    )


class _Facts:
    """Metadata by key; what has another type than it should counts as not said."""

    def __init__(self, gguf: Gguf) -> None:
        self.gguf = gguf
        self.architecture = self.text("general.architecture")
        if not self.architecture and gguf.tensors:
            raise ModelError(f"{gguf.path} does not name its architecture; it was not made by llama.cpp")

    def get(self, key: str) -> Any:
        return self.gguf.metadata.get(f"{self.architecture}.{key}")

    def text(self, key: str) -> str:
        value = self.gguf.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        value = self.gguf.metadata.get(key)
        return value if isinstance(value, int) and value > 0 else 0

    def own(self, key: str) -> int:
        return self.number(f"{self.architecture}.{key}")

    def most(self, key: str) -> int:
        """A count that may be given per layer."""
        value = self.get(f"attention.{key}")
        several = value if isinstance(value, list) else [value]
        return max((one for one in several if isinstance(one, int)), default=0)

    def real(self, key: str, default: float) -> float:
        value = self.get(key)
        return float(value) if isinstance(value, (int, float)) else default

    def numbers(self, key: str) -> tuple[int, ...]:
        value = self.get(key)
        return tuple(one for one in value if isinstance(one, int)) if isinstance(value, list) else ()

    def named(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        starts = tuple(f"{self.architecture}.{part}" for part in parts)
        return tuple(sorted(key for key in self.gguf.metadata if key.startswith(starts)))


def _rope(facts: _Facts, head_size: int, names: set[str]) -> Rope:
    base = facts.real("rope.freq_base", 10_000.0)
    swa = facts.get("rope.freq_base_swa")
    kind = facts.get("rope.scaling.type")
    return Rope(
        freq_base=base,
        freq_base_swa=float(swa) if isinstance(swa, (int, float)) and swa != base else None,
        dimensions=facts.own("rope.dimension_count") or head_size,
        scaling=kind if isinstance(kind, str) and kind != "none" else "",
        factor=facts.real("rope.scaling.factor", facts.real("rope.scale_linear", 1.0)),
        sections=tuple(one for one in facts.numbers("rope.dimension_sections") if one),
        factors=_factors(facts.gguf),
        long_factors=any("rope_factors_" in name for name in names),
    )


def _factors(gguf: Gguf) -> tuple[float, ...]:
    tensor = next((one for one in gguf.tensors if one.name.endswith("rope_freqs.weight")), None)
    if not tensor or tensor.quantisation != "F32" or tensor.bytes > 4 * ROPE_FACTORS:
        return ()
    with gguf.path.open("rb") as stream:
        stream.seek(gguf.data_offset + tensor.offset)
        data = stream.read(tensor.bytes)
    return struct.unpack(f"<{len(data) // 4}f", data[: len(data) // 4 * 4])


def _majority(tensors: tuple[Tensor, ...]) -> str:
    """The quantisation that most bytes of matrices are in; token embeddings are kept finer by many makers."""
    bytes_of: Counter[str] = Counter()
    for tensor in tensors:
        if len(tensor.shape) > 1 and tensor.name != "token_embd.weight":
            bytes_of[tensor.quantisation] += tensor.bytes
    return max(bytes_of, key=lambda kind: bytes_of[kind], default="")


def _shares(tensors: tuple[Tensor, ...], layers: int) -> tuple[tuple[int, ...], int]:
    of_layer: Counter[int] = Counter()
    for tensor in tensors:
        block = tensor.name.split(".")
        layer = int(block[1]) if len(block) > 2 and block[0] == "blk" and block[1].isdecimal() else -1
        of_layer[layer if layer < layers else -1] += tensor.bytes
    return tuple(of_layer[layer] for layer in range(min(layers, 4096))), of_layer[-1]
