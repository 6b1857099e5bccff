"""Any folder that sentence-transformers can load: slow to import, so only for those that plain.py leaves.

Beside embedders: learned sparse encoders and token encoders, which it would also make out of any other model,
by adding weights drawn at random. So their files must say what they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder, __version__

from rag.embedding.files import kind_of
from rag.embedding.model import Model
from rag.errors import ModelError


def load(folder: Path, device: str, dtype: str) -> Model:
    """The model of a folder on `device`. Raises ModelError when it holds none."""
    try:
        model = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": getattr(torch, dtype)},
        ).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder} does not load as a sentence-transformers model: {error}") from None
    return Model(
        modules=tuple(model),
        encoder=model[0].auto_model,
        pad=int(model.tokenizer.pad_token_id or 0),
        dim=int(model.get_embedding_dimension()),
        library=f"sentence-transformers {__version__}, torch {torch.__version__}",
    )


def load_sparse(folder: Path) -> SparseEncoder:
    """The sparse encoder of a folder. Raises ModelError when it holds none."""
    if kind_of(folder) != "sparse-encoder":
        raise ModelError(
            f"{folder} holds no learned sparse encoder: neither a SparseEncoder of sentence-transformers "
            "nor a masked language model"
        )
    return opened(SparseEncoder, folder)


def load_late(folder: Path) -> MultiVectorEncoder:
    """The token encoder of a folder. Raises ModelError when it holds none."""
    if kind_of(folder) != "token-encoder":
        raise ModelError(
            f"{folder} holds no token encoder: neither a MultiVectorEncoder of sentence-transformers nor a "
            "ColBERT of PyLate or of Stanford"
        )
    return opened(MultiVectorEncoder, folder)


def opened(kind: Any, folder: Path) -> Any:
    """A model of that kind, from local files only and without code of theirs."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return kind(str(folder), device=device, local_files_only=True, trust_remote_code=False).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder} does not load as a {kind.__name__}: {error}") from None
