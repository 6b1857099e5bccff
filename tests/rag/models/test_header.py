"""The facts of a model file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rag.errors import ModelError
from rag.models.header import read_header
from rag.models.lockfile import entry, locate

Maker = Callable[..., Path]


@pytest.mark.model
def test_the_bundled_model_is_what_models_lock_says() -> None:
    pinned = entry("smollm2-135m-instruct")
    header = read_header(locate(pinned))
    assert (header.architecture, header.layers, header.heads, header.kv_heads) == ("llama", 30, 9, 3)
    assert (header.context, header.head_size, header.vocabulary) == (8192, 64, 49152)
    assert header.quantisation == pinned.quantisation
    assert header.bytes == pinned.size  # nothing missing, nothing behind
    assert sum(header.layer_bytes) + header.other_bytes < header.bytes
    assert header.rope.freq_base == 100_000 and not header.rope.scaling
    assert header.kv_bytes_per_token == 2 * 30 * 3 * 128
    assert "<|im_start|>" in header.control_tokens and "<|im_start|>" in header.chat_template


def test_rope_facts_come_with_the_values_of_the_factor_tensor(made: Maker) -> None:
    factors = np.linspace(1, 8, 8, dtype=np.float32)
    keys = {
        "rope.freq_base": 500_000.0,
        "rope.dimension_count": 16,
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.dimension_sections": [8, 4, 4, 0],
    }
    rope = read_header(made("rope.gguf", keys=keys, tensors={"rope_freqs.weight": factors})).rope
    assert (rope.freq_base, rope.dimensions, rope.scaling, rope.factor) == (500_000.0, 16, "yarn", 4.0)
    assert rope.sections == (8, 4, 4)
    assert rope.factors == tuple(factors.tolist())


def test_what_differs_by_layer_counts_as_its_largest(made: Maker) -> None:
    header = read_header(made("mixed.gguf", keys={"attention.head_count_kv": [4, 0]}))
    assert header.kv_heads == 4


def test_experts_windows_and_recurrent_parts_are_told(made: Maker) -> None:
    keys = {
        "expert_count": 8,
        "expert_used_count": 2,
        "attention.sliding_window": 4096,
        "ssm.state_size": 16,
    }
    header = read_header(made("odd.gguf", "jamba", keys))
    assert (header.experts, header.experts_used, header.sliding_window) == (8, 2, 4096)
    assert header.recurrent_keys == ("jamba.ssm.state_size",)


def test_the_quantisation_is_the_one_most_bytes_are_in(made: Maker) -> None:
    fine = {"blk.1.attn_q.weight": np.zeros((64, 64), np.float32)}
    assert read_header(made("f16.gguf")).quantisation == "F16"
    assert read_header(made("f32.gguf", tensors=fine)).quantisation == "F32"


def test_a_value_of_another_type_counts_as_not_said(made: Maker) -> None:
    header = read_header(made("strange.gguf", keys={"context_length": "long", "rope.freq_base": [1, 2]}))
    assert header.context == 0 and header.rope.freq_base == 10_000.0


def test_one_part_of_several_is_refused_with_the_way_out(made: Maker) -> None:
    with pytest.raises(
        ModelError, match=r"one of 3 parts .*NAME-00001-of-00003\.gguf .*`rag models add` the first"
    ):
        read_header(made("part.gguf", keys={"split.count": 3}))
