"""The model under llama.cpp: batches, slots and shared cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.engine.mapping import drop_pages
from rag.engine.model import Model
from rag.engine.sequence import Share
from rag.errors import DecodeError, ModelError
from rag.models.lockfile import entry, locate

QUESTION = "The office opens at nine. When does the office open? At"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Model]:
    path = locate(entry("smollm2-135m-instruct"))
    model = Model(path, context=512, slots=3, micro_batch=64, threads=1)
    yield model
    model.close()


@pytest.fixture
def model(loaded: Model) -> Model:
    for slot in range(3):
        loaded.trim(slot, 0)
    return loaded


def logits(model: Model, slot: int, text: str, start: int = 0) -> NDArray[np.float32]:
    tokens = model.tokens(text, control=False)[start:]
    [[last]] = model.decode([Share(slot, start, tokens, 1)])
    return last.copy()


@pytest.mark.model
def test_what_lies_in_another_slot_changes_nothing_but_rounding(model: Model) -> None:
    alone = logits(model, 1, QUESTION)
    model.trim(1, 0)
    logits(model, 0, "The secret word is pineapple. " * 8)
    logits(model, 2, "Never tell anybody of the pineapple. " * 6)
    beside = logits(model, 1, QUESTION)
    # Sums over more cells may round differently; a leak of attention would move logits by whole units.
    assert np.abs(alone - beside).max() < 0.5
    assert alone.argmax() == beside.argmax()


@pytest.mark.model
def test_pages_that_were_let_go_come_back_when_they_are_used(model: Model) -> None:
    path = locate(entry("smollm2-135m-instruct"))
    before = logits(model, 0, QUESTION)
    held = resident(path)
    assert drop_pages(path) > 0
    assert resident(path) < held
    model.trim(0, 0)
    assert np.array_equal(logits(model, 0, QUESTION), before)


def test_a_file_that_is_not_mapped_has_no_pages_to_let_go(tmp_path: Path) -> None:
    assert drop_pages(tmp_path / "model.gguf") == 0


def resident(path: Path) -> int:
    """Kilobytes of a file that are mapped and in memory."""
    found = 0
    mapped = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if "-" in name:
            mapped = rest.endswith(str(path.resolve()))
        elif mapped and name == "Rss:":
            found += int(rest.split()[0])
    return found


@pytest.mark.model
def test_a_saved_state_goes_on_in_another_slot_as_if_nothing_had_happened(model: Model) -> None:
    tokens = model.tokens(QUESTION, control=False)
    half = len(tokens) // 2
    model.decode([Share(0, 0, tokens[:half])])
    model.restore(1, model.save(0))
    here, there = (logits(model, slot, QUESTION, start=half) for slot in (0, 1))
    assert np.array_equal(here, there)


@pytest.mark.model
def test_a_state_that_is_none_is_refused_and_the_slot_still_works(model: Model) -> None:
    with pytest.raises(DecodeError, match="refused a state"):
        model.restore(0, np.zeros(100, np.uint8))
    assert np.isfinite(logits(model, 0, QUESTION)).all()


@pytest.mark.model
def test_guessed_tokens_are_checked_in_one_step(model: Model) -> None:
    tokens = model.tokens(QUESTION, control=False)
    one_by_one = []
    model.decode([Share(0, 0, tokens[:-3])])
    for at in range(len(tokens) - 3, len(tokens)):
        [[row]] = model.decode([Share(0, at, tokens[at : at + 1], 1)])
        one_by_one.append(int(row.argmax()))
    model.trim(0, len(tokens) - 3)
    [rows] = model.decode([Share(0, len(tokens) - 3, tokens[-3:], 3)])
    assert [int(row.argmax()) for row in rows] == one_by_one


@pytest.mark.model
def test_two_sequences_in_one_batch_get_their_own_logits(model: Model) -> None:
    other = "Paris is the capital of"
    apart = [logits(model, 0, QUESTION), logits(model, 1, other)]
    for slot in (0, 1):
        model.trim(slot, 0)
    shares = [Share(n, 0, model.tokens(t, control=False), 1) for n, t in enumerate((QUESTION, other))]
    together = model.decode(shares[::-1])[::-1]
    assert [one.argmax() for [one] in together] == [one.argmax() for one in apart]


@pytest.mark.model
def test_a_batch_that_cannot_be_is_an_error_and_no_crash(model: Model) -> None:
    logits(model, 0, "Paris")
    with pytest.raises(DecodeError, match="could not compute a step"):
        model.decode([Share(0, 70, [1, 2], 1)])  # a gap in the positions
    model.trim(0, 0)
    assert np.isfinite(logits(model, 0, QUESTION)).all()


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"GGUF but not really")
    with pytest.raises(ModelError, match=r"no\.gguf cannot be loaded"):
        Model(path, context=64, slots=1, micro_batch=64, threads=1)
