"""The models of a home: written whole or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from rag.errors import BadRequest, ModelError, UnknownModel
from rag.models.lockfile import ChatTemplate, Entry, PinnedFile, Wrap, entry, load_lock
from rag.models.shelf import Shelf
from rag.models.templates import families


def model(name: str, file: str = "", template: ChatTemplate | None = None) -> Entry:
    kept = file or f"{name}.gguf"
    plain = template or ChatTemplate("<{role}>", "</>", "<assistant>")
    return Entry(
        name, "generator", kept, (PinnedFile(kept, "0" * 64, 3),), "MIT", "Q4_K", "here", template=plain
    )


def part(shelf: Shelf, name: str = "x.part") -> Path:
    shelf.room_for(0)
    path = shelf.folder / name
    path.write_bytes(b"abc")
    return path


@pytest.mark.parametrize("family", families())
def test_an_entry_comes_back_as_it_was_written(tmp_path: Path, family: str) -> None:
    shelf = Shelf(tmp_path)
    written = model("mine", template=families()[family].template)
    shelf.place(part(shelf), written)
    assert shelf.entries() == {"mine": written}
    assert entry("mine", tmp_path) == written


def test_an_entry_of_which_little_is_known_does_not_spoil_the_lock(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    written = replace(model("mine"), licence="", quantisation="", source="")
    shelf.place(part(shelf), written)
    assert shelf.entries() == {"mine": written}


@pytest.mark.parametrize("text", ['"\\\n\t', "\x7f\x00\x1b", "🌱 ｜▁", "'''", '"""'])
def test_any_text_survives_the_lock(tmp_path: Path, text: str) -> None:
    shelf = Shelf(tmp_path)
    template = ChatTemplate(text, text, text, roles={text: text}, turns={text: Wrap(text)}, markers=(text,))
    shelf.place(part(shelf), model("mine", template=template))
    assert shelf.entries()["mine"].template == template


def test_packaged_models_and_those_of_the_home_are_one_list(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.place(part(shelf), model("mine"))
    assert [*load_lock(tmp_path)] == ["smollm2-135m-instruct", "all-minilm-l6-v2", "mine"]
    assert "mine" not in load_lock()
    with pytest.raises(UnknownModel, match="have smollm2.*, mine"):
        entry("yours", tmp_path)


def test_a_packaged_name_cannot_be_taken(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    with pytest.raises(BadRequest, match="brings a model 'all-minilm-l6-v2' along"):
        shelf.place(part(shelf), model("all-minilm-l6-v2"))
    shelf.place(part(shelf), model("mine"))
    shelf.lock.write_text(shelf.lock.read_text().replace("mine", "all-minilm-l6-v2"))
    with pytest.raises(ModelError, match="names 'all-minilm-l6-v2' anew.*rag models rm"):
        load_lock(tmp_path)


@pytest.mark.parametrize("name", ["", "Big", "../x", "a/b", "-x", "x" * 65, "a b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be the name of a model"):
        Shelf(tmp_path).free_name(name)


@pytest.mark.parametrize(
    "text", ["no toml", "[a]\nkind = 1", '[a]\nkind="generator"\nfile="../../x"\n[a.files]', "a = 1"]
)
def test_a_damaged_lock_is_an_error_with_its_path(tmp_path: Path, text: str) -> None:
    shelf = Shelf(tmp_path)
    part(shelf)
    shelf.lock.write_text(text)
    with pytest.raises(ModelError, match=r"models\.lock cannot be read .*mend or remove it"):
        shelf.entries()


def test_a_removed_model_takes_its_files_along_but_not_those_of_others(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.place(part(shelf), model("one", "shared.gguf"))
    shelf.place(part(shelf), model("two", "shared.gguf"))
    assert shelf.remove("one") == []
    assert shelf.remove("two") == [shelf.folder / "shared.gguf"]
    assert not shelf.entries() and not (shelf.folder / "shared.gguf").exists()
    with pytest.raises(UnknownModel, match="no added model 'one'; have none"):
        shelf.remove("one")


def test_a_missing_disk_is_named_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"MB free where .*/models lies, .* make room for [\d,]+ more"):
        Shelf(tmp_path).room_for(10**18)
    (tmp_path / "home").touch()
    with pytest.raises(ModelError, match=r"home/models cannot be made: Not a directory"):
        Shelf(tmp_path / "home").room_for(0)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    parts = [part(shelf, f"{number}.part") for number in range(12)]
    threads = [
        threading.Thread(target=Shelf(tmp_path).place, args=(file, model(f"m{number}")))
        for number, file in enumerate(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shelf.entries()) == 12
    assert {file.suffix for file in shelf.folder.iterdir()} == {".gguf", ".lock"}
