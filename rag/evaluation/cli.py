"""`rag eval`: how good search and answers are, and what may be used here. This file has chunk-cache."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from rag.answering.ability import ability_of
from rag.engine.kv import gate
from rag.errors import BadRequest
from rag.evaluation.chunk_cache import Arm, Row, approximate, check_controls, measure
from rag.evaluation.commands import golden, quality, quantisation, routing
from rag.evaluation.commands.quality import settings_here
from rag.evaluation.dataset import FEWEST_PASSAGES, Question, chosen, needles, read
from rag.evaluation.progress import bar
from rag.evaluation.table import show
from rag.evaluation.verdict import Finding, Verdict, found, verdict_on
from rag.models.lockfile import entry
from rag.settings import Settings
from rag.workers import Worker

CONTROLLED = 10  # questions that are asked in the controls too
START_S = 900.0  # the first start of a model may measure how it runs best

evaluation = typer.Typer(
    no_args_is_help=True, help="How good search and answers are here, and what may be used."
)


def register(app: typer.Typer) -> None:
    """Add the commands that measure."""
    app.add_typer(evaluation, name="eval")
    for commands in (quality, quantisation, golden, routing):
        commands.register(evaluation)


@evaluation.command("chunk-cache")
def chunk_cache(
    context: typer.Context,
    dataset: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder with questions.jsonl.")],
    questions: Annotated[int, typer.Option(min=1, help="How many of them.")] = 300,
    passages: Annotated[int, typer.Option(min=FEWEST_PASSAGES, help="Passages of each prompt.")] = 5,
    repair: Annotated[str, typer.Option(help="Tokens computed anew at the head of passages.")] = "0,16",
    needle: Annotated[int, typer.Option(min=0, help="Made-up facts per position.")] = 6,
    model: Annotated[str, typer.Option(help="A name that `rag models` lists; else engine.model.")] = "",
    seed: Annotated[int, typer.Option(help="Draws questions and orders.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """May answers rest on KV of passages that stood elsewhere? Keeps the verdict for this model and machine.

    Exit status 1 if nothing passed.
    """
    settings = settings_here(context)
    if model:
        engine = settings.engine.model_copy(update={"model": model})
        settings = settings.model_copy(update={"engine": engine})
    asked = chosen(read(dataset), questions, passages=passages, seed=seed)
    asked += list(needles(asked, needle, seed))
    arms = approximate(numbers(repair))
    facts, rows = asyncio.run(answered(settings, asked, arms))
    findings = [verdict_on(found(rows, arm, seed)) for arm in arms]
    told = record(settings.home, facts, findings)
    if as_json:
        report = {**facts, **told, "arms": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        show(findings)
    raise typer.Exit(0 if told["passed"] else 1)


def numbers(text: str) -> list[int]:
    """The numbers of a list with commas. Raises BadRequest that names what is none."""
    parts = [part.strip() for part in text.split(",")]
    if wrong := [part for part in parts if not part.isdecimal()]:
        raise BadRequest(f"--repair {text!r}: {wrong[0]!r} is no number of tokens; write it like 0,16")
    return [int(part) for part in parts]


async def answered(
    settings: Settings, asked: Sequence[Question], arms: Sequence[Arm]
) -> tuple[dict[str, Any], list[Row]]:
    """What was measured of which model, with the progress on standard error. Raises ModelError if the
    controls do not hold."""
    if settings.engine.url:
        raise BadRequest(
            f"the model runs at {settings.engine.url}; only KV that is kept here can be measured"
        )
    model = entry(settings.engine.model, settings.home)
    template, ability = model.template, ability_of(model.size, settings.answering)
    if template is None:
        raise BadRequest(f"{settings.engine.model!r} has no chat template; take a model that answers")
    config = {"home": str(settings.home), "engine": settings.engine.model_dump(mode="json")}
    trial = Worker("rag.evaluation.trial:Trial", config, name="trial", start_timeout_s=START_S)
    try:
        facts: dict[str, Any] = await trial.call("facts")
        rows: list[Row] = []
        with bar() as progress:
            task = progress.add_task("questions", total=len(asked))
            async for row in measure(trial, asked, arms, template, ability, controlled=CONTROLLED):
                rows.append(row)
                progress.advance(task)
                if len(rows) == min(CONTROLLED, len(asked)):
                    check_controls(rows)  # at once: a broken measurement need not go on for an hour
                if progress.disable and len(rows) % 10 == 0:
                    typer.echo(f"{len(rows)} of {len(asked)} questions", err=True)
        return facts, rows
    finally:
        await trial.stop()


def record(home: Path, facts: dict[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    """Keep the verdict for the cheapest repair that passed; what proves nothing leaves an earlier one."""
    passed = [finding for finding in findings if finding.verdict is Verdict.PASS]
    best = min(passed or findings, key=lambda finding: finding.arm.repair)
    told = {
        "passed": bool(passed),
        "verdict": best.verdict,
        "reason": best.reason,
        "repair": best.arm.repair,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "questions": best.f1_drop.count,
        "model": facts["model"],
        "measured": asdict(best),
    }
    fingerprint = facts["fingerprint"]
    has_failed = all(finding.verdict is Verdict.FAIL for finding in findings)
    if passed or has_failed or not gate.verdict(home, fingerprint):
        gate.record(home, fingerprint, told)
    return told
