"""The bundled embedder: what its vectors are, and that batching and number format do not change them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from threading import current_thread
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from rag.embedding.dense import CACHED_QUERIES, DenseEmbedder, batches, choose_dtype
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


def test_each_core_has_passes_of_its_own_and_a_pause_comes_after_them(folder: Path) -> None:
    texts = [f"Room {number} has {number} chairs." for number in range(40)]  # eight tokens each

    def embedded(threads: int) -> tuple[Any, int]:
        pauses: list[str] = []
        embedder = DenseEmbedder(folder, dtype="float32", threads=threads, batch_tokens=64)
        vectors = embedder.embed_documents(texts, pause=lambda: pauses.append(current_thread().name))
        assert set(pauses) == {"MainThread"}  # what happens in a pause happens alone
        return vectors, len(pauses)

    (alone, five), (beside, two) = embedded(1), embedded(3)
    assert np.abs(alone - beside).max() < 1e-5
    assert (five, two) == (5, 2)  # eight texts a pass, three passes at once


def test_bfloat16_gives_nearly_the_same_vectors(folder: Path, embedder: DenseEmbedder) -> None:
    short = DenseEmbedder(folder, dtype="bfloat16")
    cosines = (short.embed_documents(TEXTS[:1]) * embedder.embed_documents(TEXTS[:1])).sum(axis=1)
    assert cosines.min() > 0.999


def test_a_count_is_of_the_whole_text(embedder: DenseEmbedder) -> None:
    assert embedder.count(["hello world", "", "x " * 600]) == [2, 0, 600]
    assert embedder.max_tokens == 256


def test_a_question_is_remembered_for_the_tenant_that_asked_it(embedder: DenseEmbedder) -> None:
    ours = embedder.embed_query("again?", tenant="acme")
    assert embedder.embed_query("again?", tenant="acme") is ours
    assert embedder.embed_query("again?", tenant="rival") is not ours
    assert embedder.embed_query("again?") is not embedder.embed_query("again?")


def test_the_question_asked_longest_ago_is_forgotten_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CACHED_QUERIES >= 100
    monkeypatch.setattr("rag.embedding.dense.CACHED_QUERIES", 2)
    embedder = DenseEmbedder(folder, dtype="float32")
    first, second = (embedder.embed_query(text, tenant="t") for text in ("one", "two"))
    assert embedder.embed_query("one", tenant="t") is first
    embedder.embed_query("three", tenant="t")
    assert embedder.embed_query("one", tenant="t") is first
    assert embedder.embed_query("two", tenant="t") is not second


def test_a_cut_vector_is_the_beginning_of_the_whole_one(folder: Path, embedder: DenseEmbedder) -> None:
    short = DenseEmbedder(folder, dtype="float32", dimensions=128)
    whole, cut = embedder.embed_query("leave"), short.embed_query("leave")
    assert (short.dim, short.full_dim, short.trained_for_truncation) == (128, 384, False)
    assert cut == pytest.approx(whole[:128] / np.linalg.norm(whole[:128]), abs=1e-6)


def test_more_dimensions_than_the_model_has_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="dimensions is 385 .* have 384"):
        DenseEmbedder(folder, dtype="float32", dimensions=385)


def test_a_model_that_says_so_is_known_to_be_made_for_truncation(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"matryoshka_dimensions": [128, 384]}))
    assert DenseEmbedder(copy, dtype="float32").trained_for_truncation


def test_the_prompts_of_a_model_go_before_its_texts(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    config = json.loads((copy / "config_sentence_transformers.json").read_text())
    (copy / "config_sentence_transformers.json").write_text(json.dumps(config | prompts))
    plain, prompted = (DenseEmbedder(each, dtype="float32") for each in (folder, copy))
    assert prompted.embed_query("leave") == pytest.approx(plain.embed_query("query: leave"), abs=1e-6)
    assert prompted.embed_documents(["leave"]) == pytest.approx(
        plain.embed_documents(["passage: leave"]), abs=1e-6
    )


def test_vectors_are_those_of_the_library(folder: Path, embedder: DenseEmbedder) -> None:
    library = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert embedder.embed_documents(TEXTS) == pytest.approx(
        library.encode(TEXTS, show_progress_bar=False), abs=1e-5
    )


def test_a_batch_is_bounded_by_padded_tokens() -> None:
    lengths = [5, 100, 7, 30, 6, 300]
    groups = list(batches(lengths, 100))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or max(lengths[i] for i in group) * len(group) <= 100 for group in groups)


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("avx512f avx512_vnni amx_bf16 amx_int8", "bfloat16"),
        ("avx512f avx512_vnni", "int8"),
        ("avx2 avx_vnni", "int8"),
        ("avx2", "float32"),
    ],
)
def test_the_number_format_follows_the_cpu(tmp_path: Path, flags: str, dtype: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags\t\t: {flags}\n")
    assert choose_dtype("auto", "cpu", cpuinfo) == dtype
    assert choose_dtype("float32", "cpu", cpuinfo) == "float32"
    assert choose_dtype("auto", "cpu", tmp_path / "nowhere") == "float32"


def test_a_folder_without_a_model_is_refused_with_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        DenseEmbedder(tmp_path)


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder", "MultiVectorEncoder"])
def test_a_model_of_another_kind_is_not_taken_for_an_embedder(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / "config_sentence_transformers.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ModelError, match="holds a (cross|sparse|token)-encoder, no embedder"):
        DenseEmbedder(copy, dtype="float32")
