"""What rag doctor says of the machine and of the model that answers."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete

from rag import doctor
from rag.cost.ledger import Ledger
from rag.cost.tables import ledger as rows
from rag.engine import tuning
from rag.engine.footprint import Footprint
from rag.engine.tuning import Tuning
from rag.settings import EngineSettings, Settings
from rag.store.database import Database

FAST = Tuning(
    threads=4,
    batch_threads=8,
    prefill_tps=100.0,
    decode_tps=20.0,
    depth=1000,
    decode_ms={1: 50.0},
    bandwidth_gbs=20.0,
    gflops=250.0,
    note="tried",
)
FOOTPRINT = Footprint(step_bytes=600_000_000, prompt_parameters=1_000_000_000, kv_bytes=100_000)


def test_speeds_are_told_with_their_share_of_what_the_machine_can() -> None:
    said = doctor.describe(FAST, FOOTPRINT)
    assert "prefill 100 tokens/s, decode 20.0 tokens/s (depth 1000)" in said
    assert "70% of the measured bandwidth of 20.0 GB/s" in said
    assert "80% of the measured 250 GFLOP/s of float32" in said
    assert "4 threads, 8 for prompts, flash attention off, micro-batch 512, weights repacked; tried" in said


def test_without_a_measurement_the_reason_stands_where_the_speeds_would() -> None:
    said = doctor.describe(replace(FAST, prefill_tps=0.0, note="not tuned: no time"), FOOTPRINT)
    assert said.startswith("4 threads") and said.endswith("not tuned: no time")
    assert "tokens/s" not in said


@pytest.mark.model
def test_the_model_that_answers_is_measured_as_its_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], timeout_s: float) -> str:
        asked.append(command)
        return json.dumps(asdict(FAST))

    monkeypatch.setattr(tuning, "run", run)
    found = doctor.speed(Settings(home=tmp_path, engine=EngineSettings(threads=1)))
    assert found.good and "prefill 100 tokens/s" in found.detail
    [command] = asked
    assert json.loads(command[-1])["threads"] == [1]


@pytest.mark.model
def test_what_may_be_done_with_the_bundled_model_is_told(tmp_path: Path) -> None:
    found = doctor.able(Settings(home=tmp_path))
    assert found.good and "answers" in found.detail and "llama" in found.detail


def test_a_model_that_nobody_pinned_is_a_finding_and_not_a_crash(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, engine=EngineSettings(model="unheard-of"))
    for look in (doctor.build, doctor.able, doctor.speed):
        found = look(settings)
        assert not found.good and "unheard-of" in found.detail


def test_disk_and_cpu_are_told(tmp_path: Path) -> None:
    assert "core" in doctor.cpu()
    assert "GB free" in doctor.disk(Settings(home=tmp_path / "not" / "yet")).detail


@pytest.mark.parametrize(
    ("counts", "foreign"),
    [({}, []), ({"en": 10}, []), ({"en": 95, "de": 5}, []), ({"en": 6, "de": 3, "fr": 1}, ["de", "fr"])],
)
def test_documents_in_languages_the_embedder_does_not_know_are_told(
    counts: dict[str, int], foreign: list[str]
) -> None:
    assert doctor.beyond(Settings(), counts) == foreign


def test_a_ledger_that_was_emptied_is_a_finding(tmp_path: Path) -> None:
    database = Database(tmp_path)
    books = Ledger(database, tmp_path)
    system: Any = SimpleNamespace(accountant=SimpleNamespace(ledger=books))
    assert doctor.ledger(system).good
    with database.writing() as connection:
        connection.execute(delete(rows))
    found = doctor.ledger(system)
    assert (found.good, "the rows up to 1 are gone" in found.detail) == (False, True)
    database.close()


def test_a_folder_as_embedder_is_not_judged() -> None:
    assert doctor.beyond(Settings(embedding={"model": "/models/own"}), {"de": 10}) == []
