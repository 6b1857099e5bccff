"""`rag audit models`: the models of this home, what they may serve, what they cost, what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rag.cost.bom import bill_of_materials
from rag.cost.budget_cli import books
from rag.cost.cli import moment, save
from rag.cost.inventory import ModelLine, Use
from rag.cost.models_report import ModelsReport, models_report
from rag.terminal import money


def register(audit: typer.Typer) -> None:
    """Add `models` to the commands of `rag audit`."""
    audit.command("models")(show_models)


def show_models(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="A day (2026-11-01), or so many days (30d).")] = "30d",
    bom: Annotated[Path | None, typer.Option("--bom", help="Write a CycloneDX ML-BOM here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every model with digest, licence, gates, use and cost; warnings and advice. Reads every file again."""
    with books(context) as accountant:
        made = models_report(accountant, since=moment(since))
    if bom:
        save(bom, json.dumps(bill_of_materials(made), indent=2) + "\n")
    typer.echo(json.dumps(asdict(made), indent=2) if as_json else told(made))


def told(made: ModelsReport) -> str:
    """The report for a terminal."""
    lines = [line for model in made.models for line in described(model, made.currency)]
    for name, used in made.others.items():
        lines += [
            f"{name}  (not in the lock: somebody else's, or removed since)",
            how_used(used, made.currency),
        ]
    lines.append(
        f"\nthe machine was busy {made.utilisation:.2%} of the time; "
        f"{made.idle_share:.2%} of the cost is idle time"
    )
    lines.append(f"{made.external_requests} requests were paid to others")
    lines += [f"{each.action}{f' {each.model}' if each.model else ''}: {each.why}" for each in made.advice]
    lines.append(f"constants {made.constants}, ledger {made.ledger_head}")
    return "\n".join(lines)


def described(model: ModelLine, currency: str) -> list[str]:
    """One model in a few lines."""
    size = f"{model.size_bytes / 1e6:.0f} MB"
    weights = f", {model.parameters / 1e6:.0f} M weights" if model.parameters else ""
    use = "in use" if model.in_use else "not in use"
    lines = [
        f"{model.name}  ({model.kind}, {model.quantisation}, {size}{weights}, {model.licence}, {use})",
        f"  sha256 {model.sha256}\n  {model.state}",
    ]
    lines += [f"  gate {each.profile}: {each.verdict}" for each in model.gates]
    return [*lines, how_used(model.use, currency)] if model.use else lines


def how_used(used: Use, currency: str) -> str:
    """How much a model was used, and what that cost."""
    first, last = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" for at in (used.first, used.last))
    return (
        f"  {used.requests} answers from {first} to {last}; a thousand cost "
        f"{money(used.loaded_per_thousand)} {currency}, {money(used.wh_per_thousand)} Wh, "
        f"{money(used.co2e_g_per_thousand)} gCO2e, idle time included"
    )
