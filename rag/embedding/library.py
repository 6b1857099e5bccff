"""Any folder that sentence-transformers can load: slow to import, so only for those that plain.py leaves."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, __version__

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
        prompts=model.prompts,
        pad=int(model.tokenizer.pad_token_id or 0),
        dim=int(model.get_embedding_dimension()),
        library=f"sentence-transformers {__version__}, torch {torch.__version__}",
    )
