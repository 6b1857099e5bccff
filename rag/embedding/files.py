"""The small files beside the weights of a sentence-transformers folder, and what they say that it holds.

The library makes any kind of model out of any folder, by adding weights drawn at random.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from rag.errors import ModelError

EncoderKind = Literal["embedder", "sparse-encoder", "token-encoder", "cross-encoder"]


def kind_of(folder: Path) -> EncoderKind | None:
    """What a folder says that it holds; None where it says nothing known. ModelError: a damaged file."""
    kind = str(said(folder / "config_sentence_transformers.json").get("model_type", ""))
    architecture = str(next(iter(said(folder / "config.json").get("architectures") or ()), ""))
    bare = not modules_of(folder)
    if kind in ("MultiVectorEncoder", "ColBERT") or architecture == "HF_ColBERT":
        return "token-encoder"
    if kind == "SparseEncoder" or (bare and architecture.endswith("ForMaskedLM")):
        return "sparse-encoder"
    if kind == "CrossEncoder" or architecture.endswith("ForSequenceClassification"):
        return "cross-encoder"
    return None if bare else "embedder"


def said(file: Path) -> dict[str, Any]:
    """The settings in a file; none without it. Raises ModelError for a damaged one."""
    return dict(read(file, {}))


def modules_of(folder: Path) -> list[dict[str, Any]]:
    """The parts that run one after another, as modules.json lists them; none without it."""
    return list(read(folder / "modules.json", []))


def read(file: Path, default: Any) -> Any:
    """What a file of JSON holds, or the default; ModelError for one of another form."""
    try:
        return type(default)(json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return default
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{file} cannot be read: {error}; fetch the model again") from None
