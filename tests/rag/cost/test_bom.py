"""The bill of materials against the official schema of CycloneDX 1.6."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rag.cost.bom import bill_of_materials
from rag.cost.inventory import Gate, ModelLine, Use
from rag.cost.models_report import ModelsReport

NOON = 1_795_262_400.0
GENERATOR = ModelLine(
    name="big-8b",
    kind="generator",
    file="big.gguf",
    sha256="b" * 64,
    size_bytes=4_000_000_000,
    quantisation="Q4_K_M",
    licence="MIT",
    source="example/big-8b",
    added=True,
    in_use=True,
    state="verified",
    architecture="llama",
    parameters=8_000_000_000,
    gates=(Gate("standard", "PASS", "d" * 64), Gate("high", "NOT PROVEN", "e" * 64)),
    use=Use(100, NOON - 9, NOON, ("default",), 4000, 300.0, 0.1, 2.0, 5.0, 3.0),
)
EMBEDDER = replace(
    GENERATOR, name="small", kind="embedder", architecture="", parameters=0, gates=(), use=None, in_use=False
)
UNKNOWN = replace(EMBEDDER, name="other", licence="", source="", sha256="", state="no file", size_bytes=0)
OF_THEIR_OWN = replace(EMBEDDER, name="third", licence="llama3.2", sha256="c" * 64)


def report(*models: ModelLine) -> ModelsReport:
    return ModelsReport(
        start=NOON - 86_400,
        end=NOON,
        currency="EUR",
        utilisation=0.1,
        idle_share=0.9,
        profile="standard",
        models=models,
        others={},
        external_requests=0,
        advice=(),
        constants="2026-11-01.abc",
        ledger_head="7:" + "0" * 64,
    )


@pytest.mark.parametrize(
    "models", [(), (GENERATOR,), (GENERATOR, EMBEDDER, UNKNOWN, OF_THEIR_OWN)], ids=["none", "one", "several"]
)
def test_it_is_valid_by_the_official_schema(models: tuple[ModelLine, ...]) -> None:
    validation = pytest.importorskip(
        "cyclonedx.validation.json", reason="needs cyclonedx-python-lib[json-validation]"
    )
    from cyclonedx.schema import SchemaVersion

    strict = validation.JsonStrictValidator(SchemaVersion.V1_6)
    found = strict.validate_str(json.dumps(bill_of_materials(report(*models))))
    assert found is None, found


def test_what_is_not_known_is_left_out() -> None:
    [unknown] = bill_of_materials(report(UNKNOWN))["components"]
    assert not {"hashes", "version"} & unknown.keys()
    [known] = bill_of_materials(report(GENERATOR))["components"]
    assert known["modelCard"]["modelParameters"]["modelArchitecture"] == "llama"
    assert known["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
