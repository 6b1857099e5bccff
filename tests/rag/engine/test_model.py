"""The model under llama.cpp: batches, slots and shared cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.engine.model import Model
from rag.engine.sequence import Copy, Share, Trim
from rag.errors import DecodeError, ModelError
from rag.models.lockfile import entry, locate

QUESTION = "The office opens at nine. When does the office open? At"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Model]:
    path = locate(entry("smollm2-135m-instruct"))
    model = Model(path, n_ctx=512, batch_tokens=64, max_sequences=3, threads=1)
    yield model
    model.close()


@pytest.fixture
def model(loaded: Model) -> Model:
    for slot in range(3):
        loaded.move(Trim(slot, 0))
    return loaded


def logits(model: Model, slot: int, text: str, start: int = 0) -> NDArray[np.float32]:
    tokens = model.tokens(text, control=False)[start:]
    [last] = model.decode([Share(slot, start, tokens, True)])
    return last.copy()


@pytest.mark.model
def test_what_lies_in_another_slot_changes_nothing_but_rounding(model: Model) -> None:
    alone = logits(model, 1, QUESTION)
    model.move(Trim(1, 0))
    logits(model, 0, "The secret word is pineapple. " * 8)
    logits(model, 2, "Never tell anybody of the pineapple. " * 6)
    beside = logits(model, 1, QUESTION)
    # Sums over more cells may round differently; a leak of attention would move logits by whole units.
    assert np.abs(alone - beside).max() < 0.5
    assert alone.argmax() == beside.argmax()


@pytest.mark.model
def test_a_shared_beginning_gives_the_logits_of_a_computed_one(model: Model) -> None:
    whole = logits(model, 0, QUESTION)
    half = len(model.tokens(QUESTION, control=False)) // 2
    model.move(Copy(0, 1, half))
    shared = logits(model, 1, QUESTION, start=half)
    assert np.abs(whole - shared).max() < 0.5
    assert whole.argmax() == shared.argmax()


@pytest.mark.model
def test_two_sequences_in_one_batch_get_their_own_logits(model: Model) -> None:
    other = "Paris is the capital of"
    apart = [logits(model, 0, QUESTION), logits(model, 1, other)]
    for slot in (0, 1):
        model.move(Trim(slot, 0))
    shares = [Share(n, 0, model.tokens(t, control=False), True) for n, t in enumerate((QUESTION, other))]
    together = model.decode(shares)
    assert [one.argmax() for one in together] == [one.argmax() for one in apart]


@pytest.mark.model
def test_a_batch_that_cannot_be_is_an_error_and_no_crash(model: Model) -> None:
    logits(model, 0, "Paris")
    with pytest.raises(DecodeError, match="could not compute a step"):
        model.decode([Share(0, 70, [1, 2], True)])  # a gap in the positions
    model.move(Trim(0, 0))
    assert np.isfinite(logits(model, 0, QUESTION)).all()


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"GGUF but not really")
    with pytest.raises(ModelError, match=r"no\.gguf cannot be loaded"):
        Model(path, n_ctx=64, batch_tokens=64, max_sequences=1, threads=1)
