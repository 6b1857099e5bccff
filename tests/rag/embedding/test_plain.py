"""The folders that are read without a library: with the same numbers, and no folder of another kind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rag.embedding import library, plain
from rag.embedding.dense import DenseEmbedder, load
from rag.embedding.int8 import Features
from rag.errors import ModelError
from rag.models.lockfile import entry, locate

CONFIG, POOLING = "config.json", "1_Pooling/config.json"
ABOUT, READER = "config_sentence_transformers.json", "sentence_bert_config.json"


@pytest.fixture(scope="module")
def folder() -> Path:
    return locate(entry("all-minilm-l6-v2"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A folder to spoil; the weights are only linked."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    (copy / "model.safetensors").symlink_to(folder / "model.safetensors")
    return copy


def say(file: Path, **fields: Any) -> None:
    """Add settings to a file of them."""
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(known | fields))


def rows() -> Features:
    """Token ids of texts of every length, some as long as the model reads, padded on the right."""
    torch.manual_seed(0)
    lengths = torch.tensor([2, 3, 17, 64, 255, 256])
    mask = (torch.arange(256)[None, :] < lengths[:, None]).long()
    return {"input_ids": torch.randint(1000, 30_000, (6, 256)) * mask, "attention_mask": mask}


def test_tokens_and_vectors_are_those_of_the_library(folder: Path) -> None:
    ours, theirs = plain.load(folder), library.load(folder, "cpu", "float32")
    assert ours and (ours.dim, ours.pad) == (theirs.dim, theirs.pad) == (384, 0)
    found, expected = rows(), rows()
    with torch.inference_mode():
        for module in ours.modules:
            found = module(found)
        for module in theirs.modules[:2]:
            expected = module(expected)
    read = expected["attention_mask"].bool()
    for name, kept in (("token_embeddings", read), ("sentence_embedding", read[:, 0])):
        assert (found[name][kept] - expected[name][kept]).abs().max() < 1e-5


def test_a_row_without_padding_is_the_same_as_with(folder: Path) -> None:
    model, features = plain.load(folder), rows()
    assert model
    with torch.inference_mode():
        together = model.modules[1](model.modules[0](features))["sentence_embedding"][2]
        alone = {name: each[2:3, :17] for name, each in features.items()}
        by_itself = model.modules[1](model.modules[0](alone))["sentence_embedding"][0]
    assert (together - by_itself).abs().max() < 1e-5


def test_int8_vectors_are_those_made_from_the_library_s_encoder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index of an existing home was made on that path."""
    texts = ["Leave is thirty days.", "The coffee machine is cleaned on Fridays by whoever comes first."]
    ours = DenseEmbedder(folder, dtype="auto")
    monkeypatch.setattr(plain, "load", lambda *_: None)
    theirs = DenseEmbedder(folder, dtype="auto")
    assert ours.dtype == theirs.dtype and "sentence-transformers" in theirs.library
    cosines = (ours.embed_documents(texts) * theirs.embed_documents(texts)).sum(axis=1)
    assert cosines.min() > (0.9999 if ours.dtype == "int8" else 0.99999)


def test_the_bundled_model_starts_without_the_libraries(folder: Path) -> None:
    """What takes five seconds is not imported, whatever module would."""
    code = (
        "import sys; from pathlib import Path; from rag.embedding.dense import DenseEmbedder;"
        "DenseEmbedder(Path(sys.argv[1]), dtype='float32').embed_query('leave');"
        "print(*{'sentence_transformers', 'transformers', 'sklearn', 'sympy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        (CONFIG, {"model_type": "mpnet"}),
        (CONFIG, {"architectures": ["BertForMaskedLM"]}),
        (CONFIG, {"hidden_act": "relu"}),
        (CONFIG, {"position_embedding_type": "relative_key"}),
        (CONFIG, {"is_decoder": True}),
        (CONFIG, {"quantization_config": {}}),
        (POOLING, {"pooling_mode_cls_token": True}),
        (POOLING, {"pooling_mode": "cls"}),
        ("2_Normalize/config.json", {"module_input_name": "token_embeddings"}),
        (ABOUT, {"truncate_dim": 128}),
        (READER, {"model_args": {}}),
        ("adapter_config.json", {}),
    ],
)
def test_a_folder_that_says_more_is_left_to_the_library(
    copy: Path, file: str, fields: dict[str, Any]
) -> None:
    assert plain.load(copy)
    say(copy / file, **fields)
    assert plain.load(copy) is None


@pytest.mark.parametrize(
    "types", [["Transformer", "Pooling", "Dense", "Normalize"], ["Transformer", "WeightedLayerPooling"]]
)
def test_other_modules_are_left_to_the_library(copy: Path, types: list[str]) -> None:
    modules = [{"path": "", "type": f"sentence_transformers.models.{each}"} for each in types]
    (copy / "modules.json").write_text(json.dumps(modules))
    assert plain.load(copy) is None


def test_a_module_of_somebody_else_is_left_to_the_library(copy: Path) -> None:
    modules = json.loads((copy / "modules.json").read_text("utf-8"))
    modules[1]["type"] = "custom.Pooling"
    (copy / "modules.json").write_text(json.dumps(modules))
    assert plain.load(copy) is None


@pytest.mark.parametrize("missing", ["modules.json", "model.safetensors"])
def test_a_folder_without_a_file_is_left_to_the_library(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    assert plain.load(copy) is None


def test_weights_with_other_names_are_left_to_the_library(copy: Path, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (copy / "model.safetensors").unlink()
    save_file({f"bert.{name}": weight for name, weight in weights.items()}, copy / "model.safetensors")
    assert plain.load(copy) is None
    assert "sentence-transformers" in load(copy, "cpu", "float32").library


def test_other_number_formats_are_left_to_the_library(folder: Path) -> None:
    assert "sentence-transformers" in load(folder, "cpu", "bfloat16").library
    assert "sentence-transformers" not in load(folder, "cpu", "float32").library


def test_weights_in_half_the_bits_are_widened(copy: Path, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (copy / "model.safetensors").unlink()
    half = {name: weight.half() if weight.is_floating_point() else weight for name, weight in weights.items()}
    save_file(half, copy / "model.safetensors")
    narrow, full = (DenseEmbedder(each, dtype="float32") for each in (copy, folder))
    assert narrow.library == full.library
    assert np.dot(narrow.embed_query("leave"), full.embed_query("leave")) > 0.9999


def test_weights_that_end_too_early_are_said_so(copy: Path, folder: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1_000_000])
    with pytest.raises(ModelError, match=r"weights in .* are damaged.*fetch the model again"):
        DenseEmbedder(copy, dtype="float32")


@pytest.mark.parametrize("field", ["intermediate_size", "num_hidden_layers"])
def test_weights_of_other_sizes_than_said_are_left_to_the_library(copy: Path, field: str) -> None:
    say(copy / CONFIG, **{field: 3})
    assert plain.load(copy) is None
