"""Small GGUF files with chosen metadata, written by llama.cpp's own Python package."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest

from rag.models import shelf as shelves
from rag.models.shelf import Shelf

Maker = Callable[..., Path]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """While `full()` is open, the disk takes no lock of models."""

    def write_whole(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def full() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(shelves, "write_whole", write_whole)
            yield

    return full


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "home")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def made(tmp_path: Path) -> Maker:
    """Write a GGUF: `made("x.gguf", "llama", {"block_count": 2, "general.name": "x"})`."""

    def make(
        name: str,
        architecture: str = "llama",
        keys: dict[str, Any] | None = None,
        *,
        tensors: dict[str, Any] | None = None,
        tokens: list[str] | None = None,
        bare: bool = False,
    ) -> Path:
        path = tmp_path / name
        writer = gguf.GGUFWriter(str(path), architecture)
        sizes = {"block_count": 2, "embedding_length": 64, "attention.head_count": 4, "context_length": 512}
        for key, value in ({**sizes, **(keys or {})}).items():
            whole = key if key.split(".")[0] in ("general", "tokenizer", "split") else f"{architecture}.{key}"
            add(writer, whole, value)
        if tokens != []:
            words = tokens or ["a", "b", "<|im_start|>", "<|im_end|>"]
            writer.add_tokenizer_model("gpt2")
            writer.add_token_list(words)
            writer.add_token_types([3 if word.startswith("<") else 1 for word in words])
        given = {"token_embd.weight": (32, 64), "blk.0.attn_q.weight": (64, 64), **(tensors or {})}
        given = {} if bare else given  # a vocabulary alone
        for tensor, value in given.items():
            array = value if isinstance(value, np.ndarray) else np.zeros(value, np.float16)
            writer.add_tensor(tensor, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return make


def add(writer: Any, key: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case list():
            writer.add_array(key, value)
