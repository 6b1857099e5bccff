"""Tuning: measured on a real, small model; decisions and memory on made-up numbers."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import pytest

from rag.engine import roofline, tuning, tuning_trial
from rag.engine.cores import cores
from rag.engine.footprint import Footprint, footprint
from rag.engine.tuning import Pinned, Tuning, pick, tune
from rag.engine.tuning_trial import Options, Trial, is_worth_repacking
from rag.errors import ModelError
from rag.models.check import Flags
from rag.models.lockfile import Entry, PinnedFile
from rag.settings import EngineSettings

ENTRY = Entry(
    name="tiny",
    kind="generator",
    file="tiny.gguf",
    files=(PinnedFile("tiny.gguf", "0" * 64, 1),),
    licence="none",
    quantisation="Q4_0",
    source="random",
)
MEASURED = Tuning(
    threads=2,
    batch_threads=2,
    prefill_tps=100.0,
    decode_tps=20.0,
    depth=1536,
    decode_ms={1: 50.0, 2: 60.0, 4: 80.0},
    prefill_ms_per_token=10.0,
    crossover=5.0,
)


class Child:
    """Stands for the measuring child: gives a result, and keeps the options it was asked for."""

    def __init__(self, result: Tuning | str = MEASURED) -> None:
        self.result = result if isinstance(result, str) else json.dumps(asdict(result))
        self.asked: list[dict[str, object]] = []

    def __call__(self, command: list[str], timeout_s: float) -> str:
        self.asked.append(json.loads(command[-1]))
        return self.result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"any")
    return file


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(__file__).parents[2] / "bench" / "weights.py"
    spec = importlib.util.spec_from_file_location("bench_weights", path)
    assert spec and spec.loader
    weights = sys.modules["bench_weights"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    made: Path = weights.path("tiny", "Q4_0", tmp_path_factory.mktemp("models"))
    return made


@pytest.mark.model
def test_a_model_is_measured_in_a_child_behind_a_real_depth(tiny: Path, tmp_path: Path) -> None:
    found = tune(ENTRY, tiny, tmp_path, gpu_layers=EngineSettings().gpu_layers, budget_s=3.0)
    assert found.is_measured, found.note
    assert found.depth == 1536
    assert set(found.decode_ms) == {1, 2, 4, 8}
    assert found.prefill_tps > found.decode_tps > 0
    assert found.bandwidth_gbs > 0 and found.gflops > 0
    assert 1 <= found.threads <= cores() and found.crossover >= 1
    assert "flash attention" in found.note and "repacked" in found.note


@pytest.mark.model
def test_what_the_settings_pin_is_not_tried_otherwise(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "PATIENCE", 60.0)  # other work on the machine is no failure
    pinned = Pinned(threads=1, micro_batch=64, flash_attention=True, repack=False)
    found = tune(ENTRY, tiny, tmp_path, pins=pinned, budget_s=2.0)
    assert found.is_measured, found.note
    assert (found.threads, found.batch_threads, found.micro_batch, found.flash_attention) == (1, 1, 64, True)
    assert not found.repack and "repacked" not in found.note


@pytest.mark.parametrize(
    ("setting", "works", "tried"),
    [
        ("auto", True, [True, False]),
        ("on", True, [True]),
        ("off", True, [False]),
        ("on", False, [False]),  # this build's kernels for repacked weights crash here
        ("auto", False, [False]),
    ],
)
def test_repacked_weights_are_tried_where_settings_and_build_allow(
    file: Path, tmp_path: Path, setting: Literal["auto", "on", "off"], works: bool, tried: list[bool]
) -> None:
    pins = tuning.pinned(EngineSettings(repack=setting), Flags(use_extra_bufts=works))
    child = Child()
    tune(ENTRY, file, tmp_path, pins=pins, measure=child)
    assert child.asked[0]["repack"] == tried
    assert Tuning.default(pins).repack is tried[0]


@pytest.mark.model
def test_both_weights_are_tried_by_default_and_only_one_beside_a_gpu(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child()
    settings = EngineSettings()
    pins = tuning.pinned(settings, Flags(use_extra_bufts=True))
    tune(ENTRY, tiny, tmp_path, pins=pins, gpu_layers=settings.gpu_layers, measure=child)
    options = Options(**child.asked[0])  # type: ignore[arg-type]
    for layers, tried in ((0, {True, False}), (3, {True})):
        monkeypatch.setattr(tuning_trial, "layers_on_gpu", lambda path, requested, layers=layers: layers)
        trial = Trial(str(tiny), options, began=0.0)
        assert set(trial.models) == tried
        trial.close()


def test_a_second_start_measures_nothing(file: Path, tmp_path: Path) -> None:
    child = Child()
    assert tune(ENTRY, file, tmp_path, measure=child) == MEASURED
    assert tune(ENTRY, file, tmp_path, measure=child) == MEASURED
    assert len(child.asked) == 1


def test_another_model_build_or_cpu_is_measured_anew(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child()
    tune(ENTRY, file, tmp_path, measure=child)
    tune(replace(ENTRY, files=(PinnedFile("tiny.gguf", "1" * 64, 1),)), file, tmp_path, measure=child)
    monkeypatch.setattr(tuning, "fingerprint", lambda entry: "another machine")
    tune(ENTRY, file, tmp_path, measure=child)
    assert len(child.asked) == 3


def test_other_pinned_settings_are_measured_anew(file: Path, tmp_path: Path) -> None:
    child = Child()
    tune(ENTRY, file, tmp_path, measure=child)
    tune(ENTRY, file, tmp_path, pins=Pinned(threads=1), measure=child)
    assert [asked["threads"] for asked in child.asked][1] == [1]


@pytest.mark.parametrize("damage", ["{", "[]", '"x"', "null"])
def test_a_damaged_memory_only_costs_a_measurement(file: Path, tmp_path: Path, damage: str) -> None:
    child = Child()
    tune(ENTRY, file, tmp_path, measure=child)
    (tmp_path / "tuning.json").write_text(damage)
    assert tune(ENTRY, file, tmp_path, measure=child) == MEASURED
    assert len(child.asked) == 2


def test_a_damaged_record_only_costs_a_measurement(file: Path, tmp_path: Path) -> None:
    child = Child()
    tune(ENTRY, file, tmp_path, measure=child)
    memory = tmp_path / "tuning.json"
    [key] = json.loads(memory.read_text())
    memory.write_text(json.dumps({key: {"threads": 2, "speed": "high"}}))
    assert tune(ENTRY, file, tmp_path, measure=child) == MEASURED


@pytest.mark.parametrize("output", ["", "no JSON", "{}", "[1]"])
def test_a_child_without_a_result_leaves_the_defaults_with_a_note(
    file: Path, tmp_path: Path, output: str
) -> None:
    found = tune(ENTRY, file, tmp_path, pins=Pinned(threads=1), measure=Child(output))
    assert not found.is_measured and found.threads == 1
    assert "not tuned" in found.note
    assert tune(ENTRY, file, tmp_path, measure=Child()) == MEASURED  # a failure is not remembered


def test_a_model_that_cannot_be_loaded_leaves_the_defaults(file: Path, tmp_path: Path) -> None:
    found = tune(ENTRY, file, tmp_path, budget_s=10.0)
    assert found == Tuning.default(note=found.note)
    assert "cannot be loaded" in found.note


def test_a_child_that_crashes_or_hangs_is_an_error_that_says_so() -> None:
    with pytest.raises(ModelError, match="SIGSEGV"):
        tuning.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], 60.0)
    with pytest.raises(ModelError, match="longer than 0.2 s"):
        tuning.run([sys.executable, "-c", "import time; time.sleep(60)"], 0.2)


def test_what_a_busy_machine_says_is_not_believed_and_asked_again_an_hour_later(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(replace(MEASURED, threads=1, flash_attention=True, repack=False, waited=0.4))
    found = tune(ENTRY, file, tmp_path, measure=child)
    assert found.threads == cores() and not found.flash_attention and found.repack
    assert found.prefill_tps == MEASURED.prefill_tps
    assert "busy" in found.note
    assert tune(ENTRY, file, tmp_path, measure=child) == found
    assert len(child.asked) == 1
    later = tuning.time.time() + tuning.BUSY_LASTS_S + 1
    monkeypatch.setattr(tuning.time, "time", lambda: later)
    tune(ENTRY, file, tmp_path, measure=child)
    assert len(child.asked) == 2


def test_the_default_stays_unless_it_is_beaten_clearly() -> None:
    assert pick({2: 1.0, 1: 0.95}, 2) == 2
    assert pick({2: 1.0, 1: 0.90}, 2) == 1
    assert pick({False: 1.0}, False) is False


@pytest.mark.parametrize(
    ("reads", "cost", "repack"),
    [
        ((1.0, 0.6), (7.4, 5.5), False),  # Q4_K_M with AVX-512 VNNI
        ((0.5, 1.0), (5.0, 9.0), True),  # Q4_0
        ((1.0, 0.85), (7.4, 6.3), True),  # the same kernels, and noise
        ((1.0, 0.7), (7.4, 7.2), True),  # read sooner, said later
    ],
)
def test_weights_stay_as_in_the_file_only_where_prompts_are_read_much_sooner(
    reads: tuple[float, float], cost: tuple[float, float], repack: bool
) -> None:
    with_and_without = (True, False)
    found = is_worth_repacking(
        dict(zip(with_and_without, reads, strict=True)), dict(zip(with_and_without, cost, strict=True))
    )
    assert found is repack


def test_hyper_threads_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert tuning.physical_cores(tmp_path) == 2


def test_a_step_costs_what_its_sequences_and_prompt_tokens_cost() -> None:
    assert MEASURED.step_ms(1) == 50.0
    assert MEASURED.step_ms(3) == 70.0  # between 2 and 4
    assert MEASURED.step_ms(6) == 100.0  # two more than were measured
    assert MEASURED.step_ms(2, 10) == 160.0
    assert MEASURED.step_ms(0, 11) == 150.0  # the first token of a prompt pays for reading the weights
    assert Tuning.default().step_ms(4) == 0.0


def test_a_larger_model_may_be_measured_longer() -> None:
    assert tuning.budget(100_000_000) == pytest.approx(6.0)
    assert tuning.budget(8_000_000_000) == 20.0


def test_limits_are_measured_and_positive() -> None:
    limits = roofline.measure(1, buffer_bytes=1 << 20, side=64)
    assert limits.bandwidth_gbs > 0 and limits.gflops > 0


def test_the_shares_of_the_limits_follow_their_formulas() -> None:
    one = Footprint(step_bytes=600_000_000, prompt_parameters=1_000_000_000, kv_bytes=100_000)
    # (0.6 GB + 1000 * 0.1 MB) * 20 a second = 14 GB of 20 GB.
    assert one.bandwidth_share(20.0, 1000, 20.0) == pytest.approx(0.7)
    # 2 * 1e9 * 100 = 200 of 250 GFLOP a second.
    assert one.compute_share(100.0, 250.0) == pytest.approx(0.8)


@pytest.mark.model
def test_the_footprint_of_a_small_model_is_what_its_shape_says(tiny: Path) -> None:
    found = footprint(tiny)
    # Two layers: q and output 256 x 256, k and v 128 x 256, three of 512 x 256.
    assert found.prompt_parameters == 2 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256)
    assert found.kv_bytes == 2 * 128 * 2 * 2  # layers, width of K and of V, two bytes each
    # The embedding is tied, so a step reads it; the header and the tokeniser are not read.
    assert found.prompt_parameters / 2 < found.step_bytes < tiny.stat().st_size


def test_a_file_that_is_no_gguf_has_no_footprint(file: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny\.gguf"):
        footprint(file)
