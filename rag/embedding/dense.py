"""The dense embedder: sentence-transformers on this machine, from a folder, never from a hub."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers import __version__ as library_version

from rag.embedding.embedder import Vectors
from rag.embedding.tokens import SPECIAL_TOKENS, TokenCounter
from rag.errors import ModelError

CACHED_QUERIES = 256


class DenseEmbedder:
    """One model in this process. Not for two threads at once: its owner calls it from one."""

    def __init__(
        self, folder: Path, *, name: str = "", dtype: str = "auto", threads: int = 0, batch_tokens: int = 8192
    ) -> None:
        self.name = name or folder.name
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = choose_dtype(dtype, self.device)
        self.library = f"sentence-transformers {library_version}, torch {torch.__version__}"
        self._threads = threads or torch.get_num_threads()
        self._tokens = TokenCounter(folder)
        self._model = self._load(folder)
        self._batch_tokens = batch_tokens
        self._queries: OrderedDict[str, Vectors] = OrderedDict()

    @property
    def dim(self) -> int:
        return int(self._model.get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        return self._tokens.max_tokens

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question; the last few hundred are remembered."""
        if text not in self._queries:
            # Beside a busy engine, threads wait for each other: a question took 239 ms with two, 19 with one.
            self._queries[text] = self._forward([text], threads=1)[0]
            if len(self._queries) > CACHED_QUERIES:
                self._queries.popitem(last=False)
        self._queries.move_to_end(text)
        return self._queries[text]

    def embed_documents(self, texts: Sequence[str], *, pause: Callable[[], None] | None = None) -> Vectors:
        """The vectors of passages in their order, computed by length so that little padding is."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        lengths = [min(count + SPECIAL_TOKENS, self.max_tokens) for count in self.count(texts)]
        for batch in batches(lengths, self._batch_tokens):
            vectors[batch] = self._forward([texts[index] for index in batch], threads=self._threads)
            if pause:
                pause()
        return vectors

    def count(self, texts: Sequence[str]) -> list[int]:
        return self._tokens.count(texts)

    def _load(self, folder: Path) -> Any:
        arguments = {"dtype": getattr(torch, self.dtype)}
        try:
            model = SentenceTransformer(
                str(folder),
                device=self.device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs=arguments,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"{folder} does not load as a sentence-transformers model: {error}") from None
        return model.eval()

    def _forward(self, texts: list[str], *, threads: int) -> Vectors:
        torch.set_num_threads(threads)
        vectors = self._model.encode(
            texts, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False
        )
        # The model normalises too, but in its own dtype: bfloat16 leaves lengths 0.4 % off.
        normalised = torch.nn.functional.normalize(vectors.float(), dim=1).cpu().numpy()
        return np.asarray(normalised, dtype=np.float32)


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices grouped by length, longest first; rows times longest row stay within `batch_tokens`."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def choose_dtype(wish: str, device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """`auto` is bfloat16 where the hardware multiplies it natively (AMX, a GPU), float32 elsewhere."""
    if wish != "auto":
        return wish
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if os.path.exists(cpuinfo) and "amx_bf16" in cpuinfo.read_text() else "float32"
