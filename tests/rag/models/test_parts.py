"""A model that its maker published in parts is entered as one file with the same weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from rag.errors import BadRequest, ModelError
from rag.models.gguf import read
from rag.models.header import read_header
from rag.models.intake import Keep, Wish, add
from rag.models.lockfile import entry, locate
from rag.models.parts import parts_of
from rag.models.shelf import Shelf

BUNDLED = locate(entry("smollm2-135m-instruct"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The bundled model in parts of a hundred tensors, written by llama.cpp's Python package."""
    source = gguf.GGUFReader(BUNDLED)
    folder = tmp_path_factory.mktemp("parts")
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama", split_max_tensors=100)
    for field in source.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, inner)
    for tensor in source.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.iterdir())


@pytest.mark.model
def test_any_part_brings_in_the_whole_model(parts: list[Path], tmp_path: Path) -> None:
    assert [part.name for part in parts] == [f"tiny-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    shelf = Shelf(tmp_path)
    model = add(shelf, parts[1], Wish())
    assert (model.name, model.quantisation) == ("tiny", "Q4_1")
    assert model.source == "tiny.gguf, added from this machine, 3 parts merged"
    assert model.template and model.template.before == "<|im_start|>{role}\n"
    whole, original = locate(model, tmp_path), read(BUNDLED)
    assert read_header(whole).layers == read_header(BUNDLED).layers
    ours, theirs = read(whole), original
    assert {each.name: each.shape for each in ours.tensors} == {
        each.name: each.shape for each in theirs.tensors
    }
    first = {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(BUNDLED).tensors}
    assert {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(whole).tensors} == first
    assert sorted(file.name for file in shelf.folder.iterdir()) == ["models.lock", "tiny.gguf"]


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    for number in (1, 3):
        (tmp_path / f"big-0000{number}-of-00004.gguf").write_bytes(b"GGUF")
    first = tmp_path / "big-00001-of-00004.gguf"
    with pytest.raises(
        ModelError, match=r"big-00002-of-00004\.gguf, big-00004-of-00004\.gguf are not beside it"
    ):
        add(Shelf(tmp_path / "home"), first, Wish())


def test_parts_cannot_be_linked(parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="one of 3 parts, which are merged into a copy: leave out --link"):
        add(Shelf(tmp_path), parts[0], Wish(), keep=Keep.LINK)


def test_parts_that_are_none_of_a_model_leave_nothing(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"big-0000{number}-of-00002.gguf").write_bytes(b"GGUF and nothing else")
    shelf = Shelf(tmp_path / "home")
    with pytest.raises(ModelError, match=r"the 2 parts of .*big\.gguf could not be merged"):
        add(shelf, tmp_path / "big-00001-of-00002.gguf", Wish())
    assert not list(shelf.folder.iterdir())


@pytest.mark.parametrize(
    "name", ["model.gguf", "model-00001-of-00001.gguf", "model-1-of-2.gguf", "x-00001-of-00002.bin"]
)
def test_other_names_are_of_whole_models(tmp_path: Path, name: str) -> None:
    assert parts_of(tmp_path / name) == []
