"""Embedders of other kinds than the bundled one give the vectors that sentence-transformers gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import (
    AutoTokenizer,
    ModernBertConfig,
    ModernBertModel,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from rag.embedding.dense import DenseEmbedder
from rag.embedding.scale import BUNDLED_NAME
from rag.models.lockfile import entry, locate

TOKENS = 128
TEXTS = [
    "How many days of leave?",
    "x",
    "The coffee machine is cleaned on Fridays by the facility team, who also water the plants.",
    "longer than it reads " * 100,
]
WORDS = {"vocab_size": 30_522, "pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102}
SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    **WORDS,
}


def xlm_roberta() -> Any:
    # Positions begin behind that of the padding.
    return XLMRobertaModel(XLMRobertaConfig(**SIZES, max_position_embeddings=TOKENS + 1))


def modern_bert() -> Any:
    config = {"cls_token_id": 101, "sep_token_id": 102, "max_position_embeddings": TOKENS}
    return ModernBertModel(ModernBertConfig(**SIZES, **config, reference_compile=False))


def qwen3() -> Any:
    heads = {"num_key_value_heads": 1, "head_dim": 32}
    return Qwen3Model(Qwen3Config(**SIZES, **heads, max_position_embeddings=TOKENS))


def t5() -> Any:
    sizes = {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_heads": 2, "vocab_size": 30_522}
    return T5EncoderModel(T5Config(**sizes, pad_token_id=0))


@pytest.mark.parametrize(
    ("make", "pooling", "padding"),
    [
        (xlm_roberta, "cls", "right"),
        (modern_bert, "mean", "right"),
        (qwen3, "lasttoken", "left"),
        (t5, "mean", "right"),
    ],
)
def test_vectors_are_those_of_the_library(
    tmp_path: Path, make: Callable[[], Any], pooling: str, padding: str
) -> None:
    torch.manual_seed(0)
    make().eval().save_pretrained(tmp_path / "network")
    words = {"model_max_length": TOKENS, "padding_side": padding}
    AutoTokenizer.from_pretrained(locate(entry(BUNDLED_NAME)), **words).save_pretrained(tmp_path / "network")
    network = Transformer(str(tmp_path / "network"))
    parts = [network, Pooling(network.get_embedding_dimension(), pooling_mode=pooling), Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "model"))
    library = SentenceTransformer(str(tmp_path / "model"), device="cpu", local_files_only=True)
    ours = DenseEmbedder(tmp_path / "model", dtype="float32")
    assert ours.max_tokens == library.max_seq_length == TOKENS
    assert ours.embed_documents(TEXTS) == pytest.approx(
        library.encode(TEXTS, show_progress_bar=False), abs=1e-6
    )
