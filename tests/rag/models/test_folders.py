"""The folder of an encoder becomes a frozen model, with every file that counts pinned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from rag.errors import BadRequest, ModelError, ModelMismatch
from rag.models.folders import examine_folder, wanted
from rag.models.intake import Keep, Wish, add
from rag.models.lockfile import entry, locate
from rag.models.shelf import Shelf
from rag.models.verification import verified, verify
from tests.rag.models.encoders import CARD, encoder


def test_an_embedder_is_copied_pinned_and_found(shelf: Shelf, tmp_path: Path) -> None:
    source = encoder(tmp_path / "Multilingual-E5-Small", card=CARD)
    model = add(shelf, source, Wish(name="ours"))
    assert (model.name, model.kind, model.licence, model.quantisation) == ("ours", "embedder", "mit", "F32")
    assert model.languages == ("en", "de")
    assert (model.query_prompt, model.document_prompt) == ("query: ", "passage: ")
    assert [file.path for file in model.files] == [
        "ours/model.safetensors",
        "ours/1_Pooling/config.json",
        "ours/config.json",
        "ours/modules.json",
        "ours/tokenizer.json",
        "ours/tokenizer_config.json",
    ]
    home = tmp_path / "home"
    assert entry("ours", home) == model, "the lock says all of it"
    folder, sha256 = verified("ours", home)
    assert folder == home / "models" / "ours" and sha256 == model.sha256
    assert not (folder / ".git").exists() and not (folder / "onnx").exists()
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelMismatch, match=r"ours/config\.json is not the 'ours'"):
        verify(folder, model)


def test_a_linked_folder_stays_where_it_is(shelf: Shelf, tmp_path: Path) -> None:
    source = encoder(tmp_path / "mine")
    model = add(shelf, source, Wish(), keep=Keep.LINK)
    found = locate(model, tmp_path / "home")
    verify(found, model)
    assert found.is_symlink()
    assert shelf.remove("mine") == [shelf.folder / "mine"]
    assert (source / "model.safetensors").exists() and not found.is_symlink()


def test_what_is_removed_leaves_nothing(shelf: Shelf, tmp_path: Path) -> None:
    add(shelf, encoder(tmp_path / "mine"), Wish())
    shelf.remove("mine")
    assert [each.name for each in shelf.folder.iterdir()] == ["models.lock"]


@pytest.mark.parametrize("keep", list(Keep))
def test_a_folder_where_the_model_would_be_kept_stays(shelf: Shelf, keep: Keep) -> None:
    source = encoder(shelf.folder / "mine")
    with pytest.raises(BadRequest, match="lies where the model would be kept: move it elsewhere"):
        add(shelf, source, Wish(), keep=keep)
    assert (source / "model.safetensors").exists() and (source / "onnx" / "model.onnx").exists()


def test_the_graphs_of_other_runtimes_come_when_asked_for(shelf: Shelf, tmp_path: Path) -> None:
    model = add(shelf, encoder(tmp_path / "mine"), Wish(graphs=True))
    assert "mine/onnx/model.onnx" in [file.path for file in model.files]


def test_a_folder_in_the_cache_of_a_hub_is_called_after_its_model(shelf: Shelf, tmp_path: Path) -> None:
    cache = tmp_path / "models--intfloat--e5-small" / "snapshots" / "0123abcd"
    blob = tmp_path / "blob"
    shutil.move(encoder(cache) / "model.safetensors", blob)
    (cache / "model.safetensors").symlink_to(blob)
    model = add(shelf, cache, Wish())
    assert (model.name, model.query_prompt) == ("e5-small", "query: ")
    assert not (shelf.folder / "e5-small" / "model.safetensors").is_symlink()


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "SentenceTransformer"}, "embedder"),
        ({"model_type": "SparseEncoder"}, "sparse-encoder"),
        ({"model_type": "MultiVectorEncoder"}, "token-encoder"),
        ({"model_type": "CrossEncoder"}, "cross-encoder"),
    ],
)
def test_the_kind_is_what_its_files_say(tmp_path: Path, config: dict[str, Any], kind: str) -> None:
    folder = encoder(tmp_path / "model")
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    assert examine_folder(folder).kind == kind


def test_what_cannot_be_used_is_refused_and_leaves_nothing(shelf: Shelf, tmp_path: Path) -> None:
    cut = encoder(tmp_path / "cut")
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[:-4])
    with pytest.raises(ModelError, match=r"cut/model\.safetensors is damaged"):
        add(shelf, cut, Wish())
    bare = encoder(tmp_path / "bare")
    (bare / "modules.json").unlink()
    with pytest.raises(ModelError, match="holds no known encoder"):
        add(shelf, bare, Wish())
    empty = encoder(tmp_path / "empty")
    (empty / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="empty cannot be used: it has no weights"):
        add(shelf, empty, Wish())
    wordless = encoder(tmp_path / "wordless")
    (wordless / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        add(shelf, wordless, Wish())
    with pytest.raises(BadRequest, match="cannot be the name of a model"):
        add(shelf, encoder(tmp_path / "good"), Wish(name="../good"))
    assert not shelf.entries()
    assert not shelf.folder.exists() or not list(shelf.folder.iterdir())


def test_what_a_killed_command_left_is_in_nobodys_way(shelf: Shelf, tmp_path: Path) -> None:
    left = shelf.folder / "mine"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    model = add(shelf, encoder(tmp_path / "mine"), Wish())
    verify(left, model)
    assert not (left / "half").exists()


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["b/model.safetensors", "model.safetensors"], ["model.safetensors", "b/model.safetensors"]),
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin", "vocab.txt"], ["pytorch_model.bin", "vocab.txt"]),
        (
            ["model.safetensors", "2_Dense/pytorch_model.bin"],
            ["model.safetensors", "2_Dense/pytorch_model.bin"],
        ),
        (["model.safetensors", "modeling.py", "tf_model.h5", "openvino/model.bin"], ["model.safetensors"]),
    ],
)
def test_of_the_same_weights_twice_one_is_taken(paths: list[str], expected: list[str]) -> None:
    assert wanted(paths) == expected


def test_the_format_is_that_of_most_numbers(tmp_path: Path) -> None:
    import numpy as np

    folder = encoder(tmp_path / "half")
    tensors = {"a": np.zeros((64, 64), dtype=np.float16), "b": np.zeros(8, dtype=np.float32)}
    save_file(tensors, folder / "model.safetensors")
    assert examine_folder(folder).quantisation == "F16"
