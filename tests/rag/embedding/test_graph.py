"""Embedders that ONNX Runtime and OpenVINO compute: real graphs, exported here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from rag.embedding import graph
from rag.embedding.dense import DenseEmbedder
from rag.errors import ModelError
from rag.models.lockfile import entry, locate
from tests.graphs import of_embedder, quantised

PASSAGES = [
    "Leave is thirty days.",
    "The coffee machine is red.",
    "Der Urlaub beträgt dreißig Tage. " * 20,
    "",
]
RUNTIMES = ("onnx", "openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small embedder of random weights, and the graphs that its users would put beside it."""
    found = tmp_path_factory.mktemp("embedder") / "model"
    shutil.copytree(locate(entry("all-minilm-l6-v2")), found)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = json.loads((found / "config.json").read_text()) | sizes | {"initializer_range": 0.1}
    (found / "config.json").write_text(json.dumps(config))
    torch.manual_seed(7)
    weights = BertModel(BertConfig(**config), add_pooling_layer=False).state_dict()
    save_file(weights, found / "model.safetensors")
    whole = of_embedder(found, weights)
    quantised(whole, "model_qint8_avx512_vnni.onnx")
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_graph_gives_the_vectors_of_the_weights(runtime: str, folder: Path) -> None:
    ours = DenseEmbedder(folder, dtype="float32", runtime=runtime, threads=1)
    theirs = DenseEmbedder(folder, dtype="float32", threads=1)
    cosines = (ours.embed_documents(PASSAGES) * theirs.embed_documents(PASSAGES)).sum(axis=1)
    assert cosines.min() > 0.999
    assert np.abs(ours.embed_query(PASSAGES[0]) - ours.embed_documents(PASSAGES)[0]).max() < 1e-4
    assert ours.dtype == f"{runtime}: onnx/model.onnx"


def test_int8_is_taken_where_it_is_there(folder: Path) -> None:
    small = DenseEmbedder(folder, runtime="onnx", threads=1)
    full = DenseEmbedder(folder, dtype="float32", threads=1)
    assert small.dtype == "onnx: onnx/model_qint8_avx512_vnni.onnx"
    cosines = (small.embed_documents(PASSAGES) * full.embed_documents(PASSAGES)).sum(axis=1)
    assert 0.97 < cosines.min() < 0.99999


def test_a_graph_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "model"
    shutil.copytree(folder, other)
    weights = load_file(other / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    of_embedder(other, weights | {name: weights[name].flip(0)})
    with pytest.raises(ModelError, match=r"model\.onnx come only as close as cosine .* of another model"):
        DenseEmbedder(other, dtype="float32", runtime="onnx")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_cannot_be_computed_is_told_with_the_way_out(
    runtime: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ModelError, match=r"none of .*onnx/model\.onnx.*export one.*or set the runtime to torch"
    ):
        graph.open_graph(tmp_path, runtime, "float32", 1)
    with pytest.raises(ModelError, match="bfloat16 is not computed by"):
        graph.open_graph(folder, runtime, "bfloat16", 1)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/model.onnx").write_bytes((folder / "onnx/model.onnx").read_bytes()[:10_000])
    with pytest.raises(ModelError, match=r"model\.onnx does not load in"):
        graph.open_graph(tmp_path, runtime, "float32", 1)
    monkeypatch.setitem(sys.modules, graph.PACKAGES[runtime], None)
    with pytest.raises(ModelError, match=rf"pip install 'permafrost-rag\[{runtime}\]'"):
        graph.open_graph(folder, runtime, "float32", 1)


LOADS = """
import sys
from pathlib import Path
from rag.embedding.graph import open_graph
open_graph(Path(sys.argv[1]), "openvino", "float32", 1)
print(*(name for name, module in sys.modules.items() if "openvino_telemetry" in name and module))
"""


def test_openvino_reports_to_nobody(folder: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LOADS, str(folder)],
        env=os.environ | {"HOME": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    # Its reporter keeps an id and a list of what it sent below the home of the user.
    assert (told.stdout.strip(), list(tmp_path.iterdir())) == ("", [])
