"""What `rag eval chunk-cache` says and keeps, without a model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rag.engine.generator import Reuse
from rag.engine.kv import gate
from rag.errors import BadRequest
from rag.evaluation.chunk_cache import Arm
from rag.evaluation.cli import answered, numbers, record
from rag.evaluation.statistics import Interval
from rag.evaluation.table import show
from rag.evaluation.verdict import Finding, verdict_on
from rag.settings import EngineSettings, Settings

FACTS = {"fingerprint": "f", "model": "m"}
SAME = Interval(0.0, -0.005, 0.005, 0.002, 300)
WORSE = Interval(0.05, 0.03, 0.07, 0.01, 300)


def finding(repair: int, drop: Interval = SAME) -> Finding:
    arm = Arm(f"repair {repair}", Reuse.APPROXIMATE, repair)
    measured = Finding(
        arm, 0.01, 0.02, SAME, 0.6, drop, 0.7, drop, {1: drop, 2: drop}, 0.99, ((6, 6),), 0.9, 0.6
    )
    return verdict_on(measured)


def test_the_cheapest_repair_that_passed_is_kept(tmp_path: Path) -> None:
    told = record(tmp_path, FACTS, [finding(0, WORSE), finding(32), finding(16)])
    assert told["passed"] and told["repair"] == 16 and told["questions"] == 300
    assert gate.passed(tmp_path, "f") and gate.verdict(tmp_path, "f")["repair"] == 16
    assert not gate.passed(tmp_path, "another model")


def test_a_failure_withdraws_what_passed_earlier(tmp_path: Path) -> None:
    record(tmp_path, FACTS, [finding(0)])
    record(tmp_path, FACTS, [finding(0, WORSE)])
    assert not gate.passed(tmp_path, "f")


def test_repairs_are_numbers_with_commas() -> None:
    assert numbers("0, 16") == [0, 16]
    with pytest.raises(BadRequest, match="'x' is no number"):
        numbers("0,x")


def test_a_model_elsewhere_or_without_a_template_cannot_be_measured(tmp_path: Path) -> None:
    for engine, problem in (
        (EngineSettings(url="http://localhost:1"), "the model runs at http://localhost:1"),
        (EngineSettings(model="all-minilm-l6-v2"), "no chat template"),
    ):
        with pytest.raises(BadRequest, match=problem):
            asyncio.run(answered(Settings(home=tmp_path, engine=engine), [], []))


def test_the_command_itself_loads_no_native_model_code() -> None:
    code = "import sys, rag.evaluation.cli; sys.exit('llama_cpp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_table_has_a_column_per_arm_and_the_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    show([finding(0, WORSE), replace(finding(16), needles=())])
    shown = capsys.readouterr().out
    assert "repair 0" in shown and "+5.0 [+3.0, +7.0]" in shown and "of 2 hops" in shown
    assert "FAIL F1 drops by 5.0%" in shown and "repair 16: PASS" in shown
