"""The self-check, with children that really die."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rag.errors import ModelError
from rag.models import check
from rag.models.check import Flags, Runner, choose, run_trial
from rag.models.lockfile import entry, locate
from rag.throwaway import Ending, run

MODEL = entry("smollm2-135m-instruct")
FINE = "pass"


def dies_of(sign: str) -> str:
    return f"import os, signal; os.kill(os.getpid(), signal.{sign})"


class Children:
    """Runs one program with the fast kernels and another without; counts."""

    def __init__(self, fast: str, safe: str = FINE) -> None:
        self.fast, self.safe, self.runs = fast, safe, 0

    def __call__(self, path: Path, extra_bufts: bool) -> Ending:
        self.runs += 1
        return run([sys.executable, "-c", self.fast if extra_bufts else self.safe])


def chosen(home: Path, trial: Runner, installed: Path = Path("/proc/nowhere")) -> Flags:
    return choose(MODEL, Path("model.gguf"), home, trial=trial, installed=installed)


def test_a_build_that_works_keeps_its_fast_kernels(tmp_path: Path) -> None:
    assert chosen(tmp_path, Children(FINE)) == Flags(use_extra_bufts=True)


@pytest.mark.parametrize("sign", ["SIGILL", "SIGSEGV"])
def test_a_crash_falls_back_to_slower_kernels_and_says_how_to_mend_it(tmp_path: Path, sign: str) -> None:
    flags = chosen(tmp_path, Children(dies_of(sign)))
    assert not flags.use_extra_bufts
    assert sign in flags.note and "make setup" in flags.note


def test_a_build_that_always_crashes_is_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)SIGILL.*SIGSEGV.*make setup.*clang"):
        chosen(tmp_path, Children(dies_of("SIGILL"), dies_of("SIGSEGV")))
    assert chosen(tmp_path, Children(FINE)).use_extra_bufts  # a failure is not remembered


def test_a_model_that_cannot_be_loaded_is_no_crash(tmp_path: Path) -> None:
    children = Children("import sys; sys.exit('not a model')")
    with pytest.raises(ModelError, match="not a model"):
        chosen(tmp_path, children)
    assert children.runs == 1


def test_the_outcome_is_remembered(tmp_path: Path) -> None:
    first, second = Children(dies_of("SIGILL")), Children(dies_of("SIGILL"))
    assert chosen(tmp_path, first) == chosen(tmp_path, second)
    assert (first.runs, second.runs) == (2, 0)


def test_another_home_of_the_same_installation_need_not_try_again(tmp_path: Path) -> None:
    trials = [Children(dies_of("SIGILL")) for _ in range(3)]
    shared = tmp_path / "share"
    first, second = (
        chosen(tmp_path / home, trial, shared) for home, trial in zip("ab", trials, strict=False)
    )
    assert first == second and "SIGILL" in second.note
    assert not chosen(tmp_path / "2", trials[2], tmp_path / "another").use_extra_bufts
    assert [each.runs for each in trials] == [2, 0, 2]


def test_a_damaged_memory_costs_a_second_trial_only(tmp_path: Path) -> None:
    (tmp_path / "checks.json").write_text("{")
    assert chosen(tmp_path, Children(FINE)).use_extra_bufts


@pytest.mark.model
def test_the_real_trial_passes_on_the_real_model() -> None:
    assert run_trial(locate(MODEL), False).status == 0


def test_the_real_trial_names_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"not a model")
    ending = run_trial(path, True)
    assert ending.status > 0 and "cannot be loaded" in ending.why


def test_a_trial_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "TRIAL_TIMEOUT_S", 0.01)
    with pytest.raises(ModelError, match=r"no batch was decoded within 0\.01 s"):
        choose(MODEL, Path("model.gguf"), Path("nowhere"), installed=Path("nowhere"))
