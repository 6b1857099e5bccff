"""Frozen means verified."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from rag.errors import ModelError, ModelMismatch
from rag.models.lockfile import Entry, PinnedFile, entry, locate
from rag.models.verification import digest, verify

CONTENT = b"weights" * 1000


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, Entry]:
    path = tmp_path / "small.gguf"
    path.write_bytes(CONTENT)
    pinned = PinnedFile(path.name, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    return path, Entry("small", "generator", path.name, (pinned,), "MIT", "Q4_0", "here")


def test_the_pinned_bytes_pass(model: tuple[Path, Entry]) -> None:
    verify(*model)


def test_a_file_changed_after_it_was_verified_is_refused_with_both_digests(model: tuple[Path, Entry]) -> None:
    path, small = model
    verify(path, small)
    path.write_bytes(b"W" + CONTENT[1:])
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelMismatch) as caught:
        verify(path, small)
    for part in (str(path), small.sha256, digest(path)):
        assert part in str(caught.value)


def test_a_truncated_file_is_refused(model: tuple[Path, Entry]) -> None:
    model[0].write_bytes(CONTENT[:-1])
    with pytest.raises(ModelMismatch, match="expected 7000 bytes .* found 6999"):
        verify(*model)


def test_a_missing_file_is_named(model: tuple[Path, Entry]) -> None:
    model[0].unlink()
    with pytest.raises(ModelError, match=r"small\.gguf .* is missing"):
        verify(*model)


@pytest.mark.model
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "all-minilm-l6-v2"])
def test_the_installed_models_are_the_pinned_ones(name: str) -> None:
    verify(locate(entry(name)), entry(name))


@pytest.mark.model
def test_one_flipped_byte_in_the_model_is_found(tmp_path: Path) -> None:
    model = entry("smollm2-135m-instruct")
    copy = Path(shutil.copy(locate(model), tmp_path))
    with copy.open("r+b") as stream:
        stream.seek(50_000_000)
        byte = stream.read(1)[0]
        stream.seek(50_000_000)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(ModelMismatch, match=model.sha256):
        verify(copy, model)
