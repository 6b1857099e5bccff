"""Whether keys may be moved is tried on the real model: wrong facts about its rotation are found out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rag.engine.kv.probe import probe, rotation
from rag.engine.kv.rope import Rope
from rag.engine.model import Model
from rag.errors import ModelError
from rag.models.abilities import abilities
from rag.models.header import Header, read_header
from rag.models.lockfile import entry, locate

pytestmark = pytest.mark.model
PATH = locate(entry("smollm2-135m-instruct"))


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model = Model(PATH, context=128, slots=1, micro_batch=64, threads=1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def header() -> Header:
    return read_header(PATH)


def changed(header: Header, **rope: Any) -> Header:
    return replace(header, rope=replace(header.rope, **rope))


def test_the_rotation_of_the_bundled_model_is_that_of_its_header(model: Model, header: Header) -> None:
    assert (model.can_shift, model.rope_type) == (True, "norm")
    assert rotation(model, header) == Rope(head_size=64, dims=64, base=100_000.0)
    facts = probe(model, abilities(header), header)
    assert facts.rope == rotation(model, header) and facts.note == ""


def test_linear_scaling_divides_positions(model: Model, header: Header) -> None:
    assert rotation(model, changed(header, scaling="linear", factor=4.0)).scale == 0.25
    assert rotation(model, changed(header, factor=0.0)).scale == 1.0


def test_any_other_scaling_is_refused_by_name(model: Model, header: Header) -> None:
    with pytest.raises(ModelError, match=r"the model scales its positions \(dynamic\)"):
        rotation(model, changed(header, scaling="dynamic"))


@pytest.mark.parametrize("wrong", [{"freq_base": 10_000.0}, {"dimensions": 32}, {"factor": 2.0}])
def test_a_wrong_rotation_is_noticed_and_leaves_exact_reuse(
    model: Model, header: Header, wrong: dict[str, Any]
) -> None:
    facts = probe(model, abilities(header), changed(header, **wrong))
    assert facts.shape and facts.rope is None
    assert "its rotation is not the one known here" in facts.note


def test_a_model_that_cannot_be_trimmed_keeps_nothing(model: Model, header: Header) -> None:
    recurrent = replace(header, recurrent_keys=("llama.ssm.conv_kernel",))
    facts = probe(model, abilities(recurrent), recurrent)
    assert facts.shape is None and facts.rope is None and "partly recurrent" in facts.note
