"""The bundled embedder: what its vectors are, and that batching and number format do not change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.embedding.dense import DenseEmbedder, batches, choose_dtype
from rag.errors import ModelError
from rag.models.lockfile import entry, locate

TEXTS = [
    "Leave is thirty days.",
    "Der Urlaub beträgt dreißig Tage. " * 60,
    "",
    "The coffee machine is red.",
    "x " * 30,
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return locate(entry("all-minilm-l6-v2"))


@pytest.fixture(scope="module")
def embedder(folder: Path) -> DenseEmbedder:
    return DenseEmbedder(folder, dtype="float32", batch_tokens=64)


def test_the_vector_of_a_question_is_the_canonical_one(embedder: DenseEmbedder) -> None:
    # Written down from sentence-transformers 6.2.0, torch 2.13.0, float32, on 2026-11-21.
    expected = [0.0845879, 0.0232580, 0.0462999, 0.0695230]
    vector = embedder.embed_query("How many days of leave do I have?")
    assert vector.shape == (embedder.dim,) == (384,)
    assert vector[:4].tolist() == pytest.approx(expected, abs=1e-4)


def test_vectors_have_unit_length(embedder: DenseEmbedder) -> None:
    lengths = np.linalg.norm(embedder.embed_documents(TEXTS), axis=1)
    assert lengths == pytest.approx(np.ones(len(TEXTS)), abs=1e-6)


def test_batches_keep_the_order_and_do_not_change_a_vector(embedder: DenseEmbedder) -> None:
    together = embedder.embed_documents(TEXTS)
    alone = np.stack([embedder.embed_documents([text])[0] for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5


def test_a_pause_comes_after_every_pass(embedder: DenseEmbedder) -> None:
    pauses: list[int] = []
    embedder.embed_documents(TEXTS, pause=lambda: pauses.append(1))
    assert len(pauses) >= 2


def test_bfloat16_gives_nearly_the_same_vectors(folder: Path, embedder: DenseEmbedder) -> None:
    short = DenseEmbedder(folder, dtype="bfloat16")
    cosines = (short.embed_documents(TEXTS[:1]) * embedder.embed_documents(TEXTS[:1])).sum(axis=1)
    assert cosines.min() > 0.999


def test_a_count_is_of_the_whole_text(embedder: DenseEmbedder) -> None:
    assert embedder.count(["hello world", "", "x " * 600]) == [2, 0, 600]
    assert embedder.max_tokens == 256


def test_a_repeated_question_is_remembered(embedder: DenseEmbedder) -> None:
    assert embedder.embed_query("again?") is embedder.embed_query("again?")


def test_a_batch_is_bounded_by_padded_tokens() -> None:
    lengths = [5, 100, 7, 30, 6, 300]
    groups = list(batches(lengths, 100))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or max(lengths[i] for i in group) * len(group) <= 100 for group in groups)


def test_bfloat16_is_chosen_only_where_the_cpu_has_amx(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : avx512f amx_bf16 amx_tile")
    assert choose_dtype("auto", "cpu", cpuinfo) == "bfloat16"
    cpuinfo.write_text("flags : avx2")
    assert choose_dtype("auto", "cpu", cpuinfo) == "float32"
    assert choose_dtype("float32", "cpu", cpuinfo) == "float32"


def test_a_folder_without_a_model_is_refused_with_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        DenseEmbedder(tmp_path)
