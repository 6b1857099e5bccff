"""The models as a CycloneDX 1.6 machine-learning bill of materials, for programs that read those."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from rag import __version__
from rag.cost.inventory import ModelLine
from rag.cost.models_report import ModelsReport

# Identifiers of the SPDX list that models come under; others go as plain names.
SPDX = {"Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC0-1.0"}
TASKS = {
    "generator": "text-generation",
    "embedder": "feature-extraction",
    "sparse-encoder": "feature-extraction",
    "token-encoder": "feature-extraction",
    "cross-encoder": "text-ranking",
}


def bill_of_materials(report: ModelsReport) -> dict[str, Any]:
    """The document as JSON. The same report has the same serial number."""
    at = datetime.fromtimestamp(report.end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = "\0".join([report.ledger_head, at, *(model.sha256 for model in report.models)])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}",
        "version": 1,
        "metadata": {
            "timestamp": at,
            "component": {"type": "application", "name": "permafrost-rag", "version": __version__},
            "properties": properties({"ledger head": report.ledger_head, "constants": report.constants}),
        },
        "components": [component(model) for model in report.models],
    }


def component(model: ModelLine) -> dict[str, Any]:
    """One model."""
    licence = {"id": model.licence} if model.licence in SPDX else {"name": model.licence or "not known"}
    parameters: dict[str, Any] = {"task": TASKS[model.kind]}
    if model.architecture:
        parameters["modelArchitecture"] = model.architecture
    measured = [
        {"type": f"quality gate {gate.profile}", "value": gate.verdict, "slice": gate.dataset_sha256}
        for gate in model.gates
    ]
    card: dict[str, Any] = {"modelParameters": parameters}
    if measured:
        card["quantitativeAnalysis"] = {"performanceMetrics": measured}
    made: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"{model.name}@{model.sha256}",
        "name": model.name,
        "licenses": [{"license": licence}],
        "modelCard": card,
        "properties": properties(facts(model)),
    }
    if model.sha256:
        made |= {"version": model.sha256[:12], "hashes": [{"alg": "SHA-256", "content": model.sha256}]}
    return made


def facts(model: ModelLine) -> dict[str, Any]:
    """What CycloneDX has no field for."""
    found: dict[str, Any] = {
        "file": model.file,
        "bytes": model.size_bytes,
        "quantisation": model.quantisation,
        "parameters": model.parameters,
        "source": model.source,
        "state": model.state,
        "in use": model.in_use,
    }
    if use := model.use:
        found |= {"requests": use.requests, "cost per thousand answers": f"{use.loaded_per_thousand:.6g}"}
        found |= {"Wh per thousand answers": f"{use.wh_per_thousand:.6g}"}
    return found


def properties(values: dict[str, Any]) -> list[dict[str, str]]:
    """Names of ours, as CycloneDX wants them: strings."""
    return [{"name": f"permafrost:{name}", "value": str(value)} for name, value in values.items()]
