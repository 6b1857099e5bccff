"""A model serves a profile only while everything is as it was when its gate was passed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rag.errors import ModelError
from rag.models.gates import FILE, Binding, check, passed, record, results
from rag.models.lockfile import Entry, entry
from rag.settings import EngineSettings, RetrievalSettings, Settings
from rag.types import Profile

PASS, NOT = {"verdict": "PASS"}, {"verdict": "NOT PROVEN"}


@pytest.fixture
def model() -> Entry:
    return entry("smollm2-135m-instruct")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_nothing_has_to_be_proven_for_exploration(settings: Settings, model: Entry) -> None:
    check(settings.home, model, settings, Profile.EXPLORATORY)
    with pytest.raises(ModelError, match=r"did not pass the gate of answering\.profile standard"):
        check(settings.home, model, settings, Profile.STANDARD)


def test_a_pass_counts_for_its_profile_and_for_looser_ones(settings: Settings, model: Entry) -> None:
    binding = Binding.of(model, settings)
    record(settings.home, binding, Profile.HIGH, "d" * 64, PASS)
    check(settings.home, model, settings, Profile.HIGH)
    check(settings.home, model, settings, Profile.STANDARD)
    assert not passed(settings.home, binding, Profile.RESTRICTED)


def test_what_was_not_proven_or_measured_worse_again_does_not_count(settings: Settings, model: Entry) -> None:
    binding = Binding.of(model, settings)
    record(settings.home, binding, Profile.STANDARD, "d" * 64, NOT)
    assert not passed(settings.home, binding, Profile.STANDARD)
    record(settings.home, binding, Profile.STANDARD, "d" * 64, PASS)
    record(settings.home, binding, Profile.STANDARD, "d" * 64, {"verdict": "FAIL"})
    assert not passed(settings.home, binding, Profile.STANDARD)
    assert len(results(settings.home, binding)) == 1


def test_any_change_of_what_answers_voids_the_result(settings: Settings, model: Entry) -> None:
    binding = Binding.of(model, settings)
    record(settings.home, binding, Profile.STANDARD, "d" * 64, PASS)
    for name in ("model", "build", "prompt", "retrieval"):
        assert not passed(settings.home, replace(binding, **{name: "other"}), Profile.STANDARD)


def test_the_binding_follows_model_template_and_retrieval_and_nothing_else(
    settings: Settings, model: Entry
) -> None:
    binding = Binding.of(model, settings)
    assert model.template is not None
    other_words = replace(model, template=replace(model.template, system="Be brief."))
    assert Binding.of(other_words, settings).prompt != binding.prompt
    retrieval = settings.model_copy(update={"retrieval": RetrievalSettings(limit=3)})
    assert Binding.of(model, retrieval).retrieval != binding.retrieval
    faster = settings.model_copy(update={"engine": EngineSettings(threads=1)})
    assert Binding.of(model, faster) == binding


def test_a_damaged_file_proves_nothing(settings: Settings, model: Entry) -> None:
    (settings.home / FILE).write_text('{"x": [1], "y": {"verdict": "PASS"}}')
    assert not passed(settings.home, Binding.of(model, settings), Profile.STANDARD)


def test_a_model_on_another_server_is_for_exploration_only(settings: Settings, model: Entry) -> None:
    with pytest.raises(ModelError, match="runs on another server"):
        check(settings.home, replace(model, files=()), settings, Profile.STANDARD)
