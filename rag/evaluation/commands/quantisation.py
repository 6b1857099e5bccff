"""`rag eval quantisation`: may this smaller model serve this risk? Keeps the verdict in the home."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rag.answering.ability import Ability, ability_of
from rag.engine.generator import Engine
from rag.errors import BadRequest
from rag.evaluation.benchmark import Benchmark, read_benchmark
from rag.evaluation.commands.quality import (
    Collection,
    Dataset,
    Json,
    Limit,
    Out,
    Seed,
    not_measured,
    settings_here,
)
from rag.evaluation.library import opened
from rag.evaluation.pairing import Frozen, Pair, Said, freeze, judged, say
from rag.evaluation.progress import counting
from rag.evaluation.quantisation import Finding, advice, found
from rag.evaluation.quantisation import judged as verdict_on
from rag.evaluation.record import write
from rag.evaluation.table import COLOURS
from rag.evaluation.verdict import Verdict
from rag.models import gates
from rag.models.gates import Binding
from rag.models.lockfile import Entry, entry
from rag.routing.opening import template_of
from rag.settings import Settings
from rag.types import Profile

STATUS = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.NOT_PROVEN: 2}


def register(group: typer.Typer) -> None:
    """Add the command to `rag eval`."""
    group.command("quantisation")(quantisation)


def quantisation(
    context: typer.Context,
    dataset: Dataset,
    reference: Annotated[str, typer.Option(help="The F16 (or Q8_0) model; a name that `rag models` lists.")],
    candidate: Annotated[str, typer.Option(help="The smaller model; else engine.model.")] = "",
    profile: Annotated[Profile, typer.Option(help="How much a wrong answer costs.")] = Profile.STANDARD,
    collection: Collection = None,
    limit: Limit = None,
    seed: Seed = 1,
    signed_by: Annotated[str, typer.Option(help="Who answers for it; restricted asks for a name.")] = "",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Does a smaller model answer as well as its reference, over the same passages, question by question?

    Exit status 0: PASS; 1: FAIL; 2: NOT PROVEN, or not measured.
    """
    settings = settings_here(context)
    with not_measured():
        benchmark = read_benchmark(dataset).chosen(limit, seed)
        models = entry(reference, settings.home), entry(candidate or settings.engine.model, settings.home)
        pairs = asyncio.run(paired(settings, benchmark, models, collection))
        finding = found(pairs, seed)
        verdict, reasons = verdict_on(finding, profile, reference=models[0].quantisation, signed_by=signed_by)
        told: dict[str, Any] = {
            "verdict": verdict,
            "reasons": reasons,
            "profile": profile,
            "advice": advice(finding, profile),
            "reference": {"name": models[0].name, "sha256": models[0].sha256},
            "candidate": {"name": models[1].name, "sha256": models[1].sha256},
            "signed_by": signed_by,
            "seed": seed,
            "limit": limit,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "measured": asdict(finding),
        }
        gates.record(settings.home, Binding.of(models[1], settings), profile, benchmark.sha256, told)
        if out:
            whole = {**told, "pairs": [asdict(pair) for pair in pairs]}
            write(out, json.dumps(whole, ensure_ascii=False, indent=1))
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        show(finding, verdict, reasons, told["advice"])
    raise typer.Exit(STATUS[verdict])


async def paired(
    settings: Settings, benchmark: Benchmark, models: tuple[Entry, Entry], collection: str | None
) -> list[Pair]:
    """Every answerable question in both models, one model after the other, over frozen passages."""
    if settings.engine.url:
        raise BadRequest(f"the model runs at {settings.engine.url}; only models that run here are compared")
    reference, candidate = models
    # Both are asked as the candidate would be: by the size of its file.
    ability = ability_of(candidate.size, settings.answering)
    engine = engine_of(settings, reference)
    try:
        with counting("documents") as reading:
            async with opened(settings, benchmark, collection=collection, progress=reading) as library:
                frozen = [one async for one in freeze(library, benchmark.items, engine, ability)]
        if not frozen:
            raise BadRequest(f"no question of {benchmark.name} has an answer in answers.jsonl and a passage")
        first = await answered(settings, engine, reference, frozen, ability)
    finally:
        await engine.close()
    engine = engine_of(settings, candidate)
    try:
        second = await answered(settings, engine, candidate, frozen, ability)
    finally:
        await engine.close()
    return [
        Pair(one.item.id, one.question, one.cluster, one.is_critical, before, now)
        for one, before, now in zip(frozen, first, second, strict=True)
    ]


async def answered(
    settings: Settings, engine: Engine, model: Entry, frozen: Sequence[Frozen], ability: Ability
) -> list[Said]:
    """What one model says to every question."""
    template, said = template_of(model), []
    with counting(model.name) as tell:
        for number, one in enumerate(frozen, 1):
            most = settings.answering.max_tokens
            text, ended = await say(engine, template, one, ability, max_tokens=most)
            said.append(judged(one, text, ended=ended))
            tell(number, len(frozen))
    return said


def engine_of(settings: Settings, model: Entry) -> Engine:
    """An engine with this model, everything else as it would serve here."""
    return Engine.of(settings.home, settings.engine.model_copy(update={"model": model.name}))


def show(finding: Finding, verdict: Verdict, reasons: Sequence[str], advised: str) -> None:
    """Print what was measured and what it proves."""
    table = Table("", "", box=None, show_header=False)
    rows = {
        "questions": f"{finding.questions} about {finding.documents} documents",
        "right": f"reference {finding.reference_right:.1%}, candidate {finding.candidate_right:.1%}",
        "changed": f"{finding.flips:.1%} ({finding.lost} lost, {finding.won} won), p {finding.mcnemar_p:.3f}",
        "drop": f"{finding.drop:+.1%}",
        "  by bootstrap": f"{finding.bootstrap[0]:+.1%} to {finding.bootstrap[1]:+.1%}",
        "  by the score test": f"{finding.score[0]:+.1%} to {finding.score[1]:+.1%}",
        "critical facts": f"{finding.facts_lost} lost of {finding.critical}; "
        + ", ".join(f"{kind.replace('_', ' ')} {a}, now {b}" for kind, (a, b) in finding.errors.items()),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console = Console()
    console.print(table)
    console.print(f"[{COLOURS[verdict]}]{verdict}[/]", "; ".join(reasons), highlight=False)
    console.print(advised, highlight=False)
