"""What kept KV depends on."""

from __future__ import annotations

from dataclasses import replace

from rag.engine.kv.probe import Facts
from rag.engine.opening import identity
from rag.engine.tuning import Tuning
from rag.models.lockfile import entry

MODEL = entry("smollm2-135m-instruct")


def test_kv_of_other_kernels_is_other_kv() -> None:
    facts, tuning = Facts(None, None), Tuning.default()
    ours = identity(MODEL, facts, tuning)
    assert identity(MODEL, facts, replace(tuning, threads=7, note="measured again")) == ours
    assert identity(MODEL, facts, replace(tuning, repack=False)) != ours
