"""models.lock and where its models lie."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rag.errors import ModelError, UnknownModel
from rag.models.lockfile import Entry, PinnedFile, entry, folder_of, languages_of, load_lock, locate


def test_every_entry_pins_a_digest_a_size_a_licence_and_a_source() -> None:
    for name, model in load_lock().items():
        assert model.name == name and model.licence and model.source and model.quantisation
        assert model.files and all(len(file.sha256) == 64 and file.size > 0 for file in model.files)
        assert (model.template is not None) == (model.kind == "generator")


def test_a_generator_is_no_encoder(tmp_path: Path) -> None:
    assert folder_of("all-minilm-l6-v2", tmp_path).is_dir()
    assert folder_of(str(tmp_path), tmp_path) == tmp_path
    with pytest.raises(ModelError, match="'smollm2-135m-instruct' is a generator; name one that turns text"):
        folder_of("smollm2-135m-instruct", tmp_path)


def test_languages_are_those_that_an_entry_states(tmp_path: Path) -> None:
    assert languages_of("all-minilm-l6-v2", tmp_path) == ("en",)
    assert languages_of(str(tmp_path), tmp_path) == ()


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UnknownModel, match=r"'gpt-9' in models\.lock; have smollm2-135m-instruct, "):
        entry("gpt-9")


@pytest.mark.model
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "all-minilm-l6-v2"])
def test_a_packaged_model_is_found_without_importing_its_package(name: str) -> None:
    model = entry(name)
    assert locate(model).exists()
    assert model.package not in sys.modules


def test_a_file_in_the_home_comes_first(tmp_path: Path) -> None:
    model = entry("smollm2-135m-instruct")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / model.file).touch()
    assert locate(model, tmp_path) == tmp_path / "models" / model.file


def test_a_missing_model_says_where_to_put_it(tmp_path: Path) -> None:
    model = Entry(
        "big", "generator", "big.gguf", (PinnedFile("big.gguf", "0" * 64, 1),), "MIT", "Q4_0", "a hub"
    )
    with pytest.raises(ModelError, match=r"'big' is not installed: put big\.gguf into .*models"):
        locate(model, tmp_path)
