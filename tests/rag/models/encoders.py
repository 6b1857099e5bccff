"""A folder as an encoder's maker publishes it, with weights that are a few numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

CARD = "---\nlicense: mit\nlanguage:\n- en\n- de\n- multilingual\ntags:\n- x\n---\n# A model\n"


def encoder(folder: Path, *, card: str = "") -> Path:
    """A sentence-transformers folder whose files are whole; its weights are of no model."""
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "onnx").mkdir()
    (folder / ".git").mkdir()
    modules = [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}]
    files = {
        "modules.json": modules,
        "config.json": {"model_type": "bert", "architectures": ["BertModel"], "max_position_embeddings": 512},
        "tokenizer_config.json": {"model_max_length": 512},
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
    }
    for name, said in files.items():
        (folder / name).write_text(json.dumps(said))
    Tokenizer(WordLevel({"[UNK]": 0, "word": 1}, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    save_file({"weights": np.arange(12, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    (folder / ".git" / "config.json").write_text("{}")
    if card:
        (folder / "README.md").write_text(card)
    return folder
