"""llama.cpp's own quantiser, in a child."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.errors import BadRequest, ModelError
from rag.models.gguf import read
from rag.models.header import read_header
from rag.models.intake import Wish, add
from rag.models.lockfile import entry, locate
from rag.models.quantise import most_bytes, quantise
from rag.models.shelf import Shelf
from rag.models.verification import verify

Maker = Callable[..., Path]


@pytest.mark.model
def test_a_model_is_made_smaller_and_pinned_with_where_it_came_from(tmp_path: Path) -> None:
    shelf, source = Shelf(tmp_path), entry("smollm2-135m-instruct")
    small = quantise(shelf, source, locate(source), "q4_0")
    assert (small.name, small.quantisation, small.licence) == (
        "smollm2-135m-instruct-q4_0",
        "Q4_0",
        "Apache-2.0",
    )
    assert source.sha256 in small.source and "already Q4_1" in small.source
    assert small.template == source.template
    path = locate(entry(small.name, tmp_path), tmp_path)
    verify(path, small)
    assert read_header(path).quantisation == "Q4_0"
    assert path.stat().st_size < most_bytes(read(locate(source)), "Q4_0") < 1.5 * path.stat().st_size
    assert sorted(file.name for file in shelf.folder.iterdir()) == ["models.lock", small.file]


def test_what_llama_cpp_refuses_leaves_nothing(made: Maker, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "home")
    source = add(shelf, made("odd.gguf", "newcomer"), Wish())
    with pytest.raises(ModelError, match=r"odd\.gguf could not be made Q4_0: .*newcomer"):
        quantise(shelf, source, locate(source, tmp_path / "home"), "Q4_0")
    assert [*shelf.entries()] == ["odd"] and not list(shelf.folder.glob("*.part"))


@pytest.mark.model
def test_a_larger_kind_needs_more_room_than_its_source() -> None:
    source = locate(entry("smollm2-135m-instruct"))
    weights = 134_515_008  # by its maker
    assert most_bytes(read(source), "F16") > 2 * weights > 2 * source.stat().st_size


@pytest.mark.model
def test_a_disk_that_is_full_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    shelf, source = Shelf(tmp_path), entry("smollm2-135m-instruct")
    shelf.room_for(0)
    (shelf.folder / f"small.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"models takes nothing more: No space left on device$"):
        quantise(shelf, source, locate(source), "q4_0", name="small")
    assert not list(shelf.folder.iterdir())


def test_a_kind_must_be_one(tmp_path: Path) -> None:
    source = entry("smollm2-135m-instruct")
    with pytest.raises(BadRequest, match="no quantisation 'Q9'; have F16, "):
        quantise(Shelf(tmp_path), source, Path("x"), "Q9")
    with pytest.raises(BadRequest, match="is of kind embedder"):
        quantise(Shelf(tmp_path), entry("all-minilm-l6-v2"), Path("x"), "Q4_0")
