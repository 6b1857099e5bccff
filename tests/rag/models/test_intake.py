"""A local file becomes a frozen model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rag.errors import BadRequest, ModelError, ModelMismatch
from rag.models.intake import Keep, Wish, add, name_of
from rag.models.lockfile import entry, locate
from rag.models.shelf import Shelf
from rag.models.verification import verify

Maker = Callable[..., Path]


def test_a_file_is_copied_pinned_and_found(made: Maker, shelf: Shelf, tmp_path: Path) -> None:
    path = made("Tiny Chat.F16.gguf", keys={"general.license": "mit"})
    model = add(shelf, path, Wish())
    assert (model.name, model.licence, model.quantisation) == ("tiny-chat.f16", "mit", "F16")
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    home = tmp_path / "home"
    found = locate(entry(model.name, home), home)
    verify(found, model)
    assert not found.is_symlink() and model.template and model.template.before == "<|im_start|>{role}\n"


def test_a_linked_file_stays_where_it_is_and_is_watched(made: Maker, shelf: Shelf, tmp_path: Path) -> None:
    path = made("big.gguf")
    model = add(shelf, path, Wish("mine", "MIT"), keep=Keep.LINK)
    found = locate(model, tmp_path / "home")
    assert found.is_symlink() and model.licence == "MIT"
    verify(found, model)
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"!")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelMismatch, match=model.sha256):
        verify(found, model)
    shelf.remove("mine")
    assert path.exists()  # the link is ours, the file is not


def test_a_file_where_the_model_would_be_kept_is_not_replaced_by_a_link_to_itself(
    made: Maker, shelf: Shelf
) -> None:
    shelf.folder.mkdir(parents=True)
    path = made("big.gguf").rename(shelf.folder / "big.gguf")
    with pytest.raises(BadRequest, match="lies where the model would be kept"):
        add(shelf, path, Wish(), keep=Keep.LINK)
    assert path.is_file() and not path.is_symlink()
    assert add(shelf, path, Wish()).file == "big.gguf"


def test_what_cannot_answer_is_refused_and_leaves_nothing(made: Maker, shelf: Shelf) -> None:
    with pytest.raises(
        ModelError, match="bert.gguf cannot be a generator: architecture 'bert' is an encoder"
    ):
        add(shelf, made("bert.gguf", "bert"), Wish())
    with pytest.raises(ModelError, match="holds a vocabulary and no weights"):
        add(shelf, made("vocab.gguf", bare=True), Wish())
    with pytest.raises(ModelError, match="--template"):
        add(shelf, made("base.gguf", tokens=["a"]), Wish())
    assert not shelf.entries() and not list(shelf.folder.glob("*"))


def test_a_full_disk_is_named_and_nothing_is_left(
    made: Maker, shelf: Shelf, full: Callable[[], AbstractContextManager[None]]
) -> None:
    path = made("tiny.gguf")
    shelf.room_for(0)
    part = shelf.folder / f"tiny.{os.getpid()}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"copied to .*/models: No space left on device"):
        add(shelf, path, Wish())
    for keep in Keep:
        wanted = r"models\.lock cannot be written: No space left on device"
        with full(), pytest.raises(ModelError, match=wanted):
            add(shelf, path, Wish(), keep=keep)
    part.touch()
    with pytest.raises(ModelError, match=r"no link to .*tiny\.gguf can be made in .*: File exists"):
        add(shelf, path, Wish(), keep=Keep.LINK)
    assert not list(shelf.folder.iterdir()) and path.exists()
    add(shelf, path, Wish())


def test_a_full_disk_leaves_the_lock_as_it_was(
    made: Maker, shelf: Shelf, full: Callable[[], AbstractContextManager[None]]
) -> None:
    add(shelf, made("one.gguf"), Wish())
    before = shelf.lock.read_bytes()
    with full(), pytest.raises(ModelError):
        add(shelf, made("two.gguf"), Wish())
    assert shelf.lock.read_bytes() == before
    assert sorted(file.name for file in shelf.folder.iterdir()) == ["models.lock", "one.gguf"]


def test_what_a_killed_command_had_begun_goes_after_a_day(made: Maker, shelf: Shelf) -> None:
    shelf.room_for(0)
    names = ("old.4711.part", "new.4712.part", f"fetched.{16 * '7'}.part")
    for name in names:
        (shelf.folder / name).touch()
    for name in (names[0], names[2]):
        os.utime(shelf.folder / name, (1, 1))
    add(shelf, made("mine.gguf"), Wish())
    assert {file.name for file in shelf.folder.glob("*.part")} == {*names[1:]}


def test_a_file_whose_name_is_no_text_is_taken_like_any_other(made: Maker, shelf: Shelf) -> None:
    path = made("mine.gguf")
    strange = path.with_name(os.fsdecode(b"caf\xe9.gguf"))
    path.rename(strange)
    assert add(shelf, strange, Wish(name="mine")).source.startswith("caf�.gguf")
    assert list(shelf.entries()) == ["mine"]
    assert sorted(file.name for file in shelf.folder.iterdir()) == ["mine.gguf", "models.lock"]


def test_the_owner_may_name_the_template(made: Maker, shelf: Shelf) -> None:
    model = add(shelf, made("base.gguf", tokens=["a"]), Wish(template="gemma"))
    assert model.template and model.template.fold
    assert "<start_of_turn>" in model.template.markers  # ordinary text in this vocabulary


def test_a_second_model_of_a_name_is_refused(made: Maker, shelf: Shelf) -> None:
    path = made("one.gguf")
    add(shelf, path, Wish())
    with pytest.raises(BadRequest, match="there is a model 'one' already"):
        add(shelf, path, Wish())


def test_a_name_is_made_of_the_files() -> None:
    assert name_of(Path("Qwen2.5-1.5B Instruct.Q4_K_M.gguf")) == "qwen2.5-1.5b-instruct.q4_k_m"
