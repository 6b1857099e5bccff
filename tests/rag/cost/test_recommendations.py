"""Advice about models and the machine, from what the inventory and the ledger say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rag.cost.inventory import Gate, ModelLine, Use, is_in_use
from rag.cost.recommendations import Action, advise
from rag.models.lockfile import Entry
from rag.settings import Settings, TierSettings

USE = Use(100, 0.0, 9.0, ("default",), 4000, 300.0, 0.1, 2.0, 5.0, 3.0)
BIG = ModelLine(
    name="big-8b",
    kind="generator",
    file="big.gguf",
    sha256="b" * 64,
    size_bytes=4_000_000_000,
    quantisation="Q4_K_M",
    licence="MIT",
    source="",
    added=True,
    in_use=True,
    state="verified",
    architecture="llama",
    parameters=8_000_000_000,
    gates=(Gate("standard", "PASS", "d1"),),
    use=USE,
)
SMALL = replace(
    BIG, name="small-1b", sha256="a" * 64, size_bytes=700_000_000, in_use=False, gates=(), use=None
)
PROVEN = (Gate("standard", "PASS", "d1"),)


def actions(
    *models: ModelLine, profile: str = "standard", load: float = 0.5, days: float = 30
) -> list[tuple[str, str]]:
    return [
        (str(each.action), each.model)
        for each in advise(models, profile=profile, utilisation=load, days=days)
    ]


def test_the_model_of_a_tier_of_this_machine_is_in_use(tmp_path: Path) -> None:
    tiers = {
        "large": TierSettings(kind="local", model="big-8b"),
        "far": TierSettings(kind="remote", model="far-8b", urls=("http://gpu1:8000",)),
    }
    settings = Settings(home=tmp_path, tiers=tiers)
    names = ("smollm2-135m-instruct", "big-8b", "far-8b", "small-1b")
    entries = [Entry(name, "generator", "", (), "", "", "") for name in names]
    assert [is_in_use(each, settings) for each in entries] == [True, True, False, False]


def test_a_model_that_passed_and_is_needed_is_left_alone() -> None:
    assert actions(BIG) == []


def test_a_smaller_model_with_a_proof_of_its_own_is_proposed() -> None:
    assert (Action.DOWNSIZE, "big-8b") in actions(BIG, replace(SMALL, gates=PROVEN))


def test_a_smaller_model_without_a_proof_is_not_whatever_the_profile() -> None:
    for profile in ("standard", "exploratory"):
        assert Action.DOWNSIZE not in [action for action, _ in actions(BIG, SMALL, profile=profile)]


def test_a_model_that_answers_without_a_gate_is_to_be_measured() -> None:
    assert actions(replace(BIG, gates=())) == [(Action.MEASURE, "big-8b")]
    assert actions(replace(BIG, gates=(Gate("standard", "FAIL", "d1"),))) == [(Action.MEASURE, "big-8b")]


def test_an_added_model_that_nobody_used_may_go_after_a_week() -> None:
    assert actions(BIG, SMALL) == [(Action.RETIRE, "small-1b")]
    assert actions(BIG, SMALL, days=3) == []
    assert actions(BIG, replace(SMALL, added=False)) == []


def test_two_models_that_may_both_serve_can_be_one() -> None:
    rare = replace(SMALL, use=replace(USE, busy_s=3.0))
    assert (Action.CONSOLIDATE, "small-1b") in actions(BIG, rare)


def test_a_machine_that_idles_is_called_too_large() -> None:
    assert actions(BIG, load=0.01) == [(Action.OVER_PROVISIONED, "")]
    assert actions(BIG, load=0.01, days=1) == []


def test_a_file_that_is_not_the_pinned_one_comes_first() -> None:
    assert actions(replace(BIG, state="expected sha256 b, actual c"))[0] == (Action.REPAIR, "big-8b")
