"""What may be done with a model, by its architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.models.abilities import Abilities, abilities
from rag.models.header import read_header
from rag.models.lockfile import entry, locate

Maker = Callable[..., Path]


def of(made: Maker, architecture: str, keys: dict[str, Any] | None = None, **more: Any) -> Abilities:
    return abilities(read_header(made("model.gguf", architecture, keys, **more)))


@pytest.mark.model
def test_the_bundled_model_may_do_everything() -> None:
    able = abilities(read_header(locate(entry("smollm2-135m-instruct"))))
    assert able == Abilities(generates=True, can_trim=True, can_shift=True, rope="norm")


@pytest.mark.parametrize(
    ("architecture", "why"),
    [
        ("bert", "encoder"),
        ("modern-bert", "encoder"),
        ("t5", "encoder before it writes"),
        ("llada", "diffusion"),
        ("pockettts", "sound"),
    ],
)
def test_what_cannot_continue_a_prompt_says_why(made: Maker, architecture: str, why: str) -> None:
    able = of(made, architecture)
    assert not able.generates and not able.can_trim and why in able.reason


def test_an_adapter_and_a_file_without_words_are_no_models(made: Maker) -> None:
    assert "holds a adapter" in of(made, "llama", {"general.type": "adapter"}).reason
    assert "no vocabulary" in of(made, "llama", tokens=[]).reason
    assert "encoder" in of(made, "qwen3", {"attention.causal": False}).reason


@pytest.mark.parametrize("architecture", ["mamba", "rwkv7", "jamba", "lfm2", "granitehybrid", "qwen3next"])
def test_the_state_of_a_recurrent_model_is_neither_trimmed_nor_moved(made: Maker, architecture: str) -> None:
    able = of(made, architecture)
    assert able.generates and not able.can_trim and not able.can_shift
    assert "recurrent" in able.reason


def test_recurrent_keys_speak_for_an_unknown_architecture(made: Maker) -> None:
    able = of(made, "newhybrid", {"ssm.conv_kernel": 4})
    assert not able.known and not able.can_trim


@pytest.mark.parametrize(
    ("architecture", "keys", "why"),
    [
        ("gpt2", {}, "no RoPE"),
        ("bloom", {}, "no RoPE"),
        ("llama", {"attention.max_alibi_bias": 8.0}, "no RoPE"),
        ("qwen2vl", {}, "several axes"),
        ("glm4", {"rope.dimension_sections": [8, 12, 12, 0]}, "several axes"),
        ("gemma3", {"attention.sliding_window": 512}, "all layers alike"),
        ("llama4", {}, "all layers alike"),
        ("deepseek2", {"attention.kv_lora_rank": 512}, "latent"),
        ("qwen2", {"rope.scaling.type": "yarn"}, "scaled by yarn"),
        ("brandnew", {}, "not known how"),
    ],
)
def test_keys_that_are_not_simply_turned_are_not_moved(
    made: Maker, architecture: str, keys: dict[str, Any], why: str
) -> None:
    able = of(made, architecture, keys)
    assert able.generates and able.can_trim and not able.can_shift and able.rope == ""
    assert why in able.reason


@pytest.mark.parametrize(("architecture", "rope"), [("llama", "norm"), ("qwen3", "neox"), ("gemma", "neox")])
def test_plain_rope_may_be_moved(made: Maker, architecture: str, rope: str) -> None:
    able = of(made, architecture, {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0})
    assert able.can_shift and able.rope == rope and not able.reason


def test_a_sliding_window_is_harmless_only_while_the_cache_keeps_everything(made: Maker) -> None:
    header = read_header(made("gemma2.gguf", "gemma2", {"attention.sliding_window": 4096}))
    assert abilities(header).can_shift
    short = abilities(header, swa_full=False)
    assert not short.can_trim and not short.can_shift and "4096" in short.reason


def test_experts_are_counted(made: Maker) -> None:
    able = of(made, "qwen3moe", {"expert_count": 128, "expert_used_count": 8})
    assert (able.experts, able.experts_used, able.can_shift) == (128, 8, True)
