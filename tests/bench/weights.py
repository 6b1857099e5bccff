"""Random weights of a real size, for speed where no real model can be had: the shape is what costs time.

`python tests/bench/weights.py 1b Q4_K_M` prints the path. Files are kept in the user's cache.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import llama_cpp as llama
import numpy as np

from rag.models.lockfile import entry, locate

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "permafrost" / "bench"
KINDS = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K_M": 15}  # llama_ftype
SPREAD = 0.02


@dataclass(frozen=True)
class Shape:
    """A Llama-like transformer; with `experts` its feed-forward part is a mixture, `used` of them a token."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn: int
    experts: int = 0
    used: int = 0

    @property
    def kv_width(self) -> int:
        return self.width // self.heads * self.kv_heads


SHAPES = {
    "1b": Shape(layers=16, width=2048, heads=32, kv_heads=8, ffn=8192),
    # Four of 16 experts of 2,048: the active width of 1b's feed-forward part, four times its weights.
    "moe": Shape(layers=16, width=2048, heads=32, kv_heads=8, ffn=2048, experts=16, used=4),
    "tiny": Shape(layers=2, width=256, heads=4, kv_heads=2, ffn=512),
    "tiny-moe": Shape(layers=2, width=256, heads=4, kv_heads=2, ffn=256, experts=4, used=2),
}


def path(name: str, kind: str, folder: Path = CACHE) -> Path:
    """A GGUF of that shape and quantisation; made at the first call."""
    made = folder / f"random-{name}-{kind}.gguf"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        whole, part = folder / f"random-{name}-F16.gguf", made.with_suffix(".part")
        if not whole.exists():
            write(SHAPES[name], whole.with_suffix(".part"))
            whole.with_suffix(".part").rename(whole)
        quantise(whole, part, KINDS[kind])
        part.rename(made)
    return made


def write(shape: Shape, file: Path, *, seed: int = 7) -> None:
    """The model in F16, with the tokeniser of the bundled one."""
    bundled = entry("smollm2-135m-instruct")
    source = gguf.GGUFReader(str(locate(bundled)))
    writer = gguf.GGUFWriter(str(file), "llama")
    _describe(writer, shape)
    for name, field in source.fields.items():
        if name.startswith("tokenizer."):
            kind, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), kind, sub_type=inner)
    vocabulary = len(source.fields["tokenizer.ggml.tokens"].data)
    sizes = list(_tensors(shape, vocabulary))
    for name, dims in sizes:
        kind = np.float32 if "norm" in name or "inp" in name else np.float16
        writer.add_tensor_info(name, dims, np.dtype(kind), int(np.prod(dims)) * np.dtype(kind).itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(seed)
    for name, dims in sizes:  # one tensor at a time: the whole would not fit beside the machine's other work
        flat = name.split(".")[-2].endswith("norm")
        values = np.ones(dims, np.float32) if flat else random.standard_normal(dims, np.float32) * SPREAD
        writer.write_tensor_data(values if "norm" in name or "inp" in name else values.astype(np.float16))
    writer.close()


def _describe(writer: Any, shape: Shape) -> None:
    writer.add_context_length(32768)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100_000.0)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.used)


def _tensors(shape: Shape, vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, ffn = shape.width, shape.ffn
    yield "token_embd.weight", (vocabulary, width)
    yield "output_norm.weight", (width,)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", (width,)
        yield f"{block}.ffn_norm.weight", (width,)
        yield f"{block}.attn_q.weight", (width, width)
        yield f"{block}.attn_k.weight", (shape.kv_width, width)
        yield f"{block}.attn_v.weight", (shape.kv_width, width)
        yield f"{block}.attn_output.weight", (width, width)
        if shape.experts:
            yield f"{block}.ffn_gate_inp.weight", (shape.experts, width)
            yield f"{block}.ffn_gate_exps.weight", (shape.experts, ffn, width)
            yield f"{block}.ffn_up_exps.weight", (shape.experts, ffn, width)
            yield f"{block}.ffn_down_exps.weight", (shape.experts, width, ffn)
        else:
            yield f"{block}.ffn_gate.weight", (ffn, width)
            yield f"{block}.ffn_up.weight", (ffn, width)
            yield f"{block}.ffn_down.weight", (width, ffn)


def quantise(source: Path, target: Path, kind: int) -> None:
    """llama.cpp's own quantiser."""
    params = llama.llama_model_quantize_default_params()
    params.ftype = kind
    params.nthread = len(os.sched_getaffinity(0))
    if llama.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)):
        raise SystemExit(f"{source} could not be quantised")


if __name__ == "__main__":
    print(path(sys.argv[1], sys.argv[2]))
