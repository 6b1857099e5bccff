"""`rag eval routing`: are questions told apart, what does a dearer tier buy, and which threshold is right?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from rag.errors import BadRequest
from rag.evaluation.commands.quality import settings_here
from rag.evaluation.record import write
from rag.evaluation.routing import (
    RIDGE,
    RIDGE_NEED,
    Compared,
    Curve,
    Embed,
    Labelled,
    Point,
    Score,
    checked,
    cross_validated,
    curve,
    held_out,
    inputs_of,
    macro_f1,
    read,
    scores,
    told_kind,
)
from rag.evaluation.routing_page import cells, routing_page
from rag.routing.regression import Matrix, Regression, fit
from rag.routing.router import NEEDED, NUMBERS
from rag.routing.signals import FEATURES
from rag.settings import Settings

SHOWN = 11  # points of the curve


def register(group: typer.Typer) -> None:
    """Add the command to `rag eval`."""
    group.command("routing")(routing)


def routing(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines; see README.")],
    weak: Annotated[str, typer.Option(help="The cheaper of the two compared tiers.")] = "small",
    strong: Annotated[str, typer.Option(help="The dearer one.")] = "large",
    quality: Annotated[float, typer.Option(min=0, max=1, help="Share of the dear tier's quality.")] = 0.95,
    cost: Annotated[float | None, typer.Option(min=0, help="Money per question instead.")] = None,
    folds: Annotated[int, typer.Option(min=2, max=20, help="Parts of the cross-validation.")] = 10,
    hold_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="Measure on this share, train on the rest; 0: folds.")
    ] = 0.0,
    words_only: Annotated[bool, typer.Option(help="Without the embedder.")] = False,
    train: Annotated[Path | None, typer.Option(help="Write weights for [routing] here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with the curve.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the folds.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measured on what the weights had not seen: F1 by kind of question, or quality over calls and cost."""
    rows = read(file, weak=weak, strong=strong)
    settings = settings_here(context)
    by_text = bool(rows[0].text)
    embed = embedder(settings) if by_text and not words_only else None
    about: dict[str, Any] = {"trained": datetime.now(UTC).date().isoformat(), "lines": len(rows)}
    if labelled := [row for row in rows if isinstance(row, Labelled)]:
        inputs = inputs_of([row.text for row in labelled], embed)
        found = told_apart(labelled, inputs, folds, hold_out, seed)
        if train:
            about["embedder"] = settings.embedding.model if embed else ""
            about["macro_f1"] = round(macro_f1(found), 4)
            about["measured"] = f"{hold_out:.0%} held out" if hold_out else f"{folds} folds"
            write(train, trained(labelled, inputs, hold_out, about).json())
        show_scores(found, as_json=as_json)
        return
    compared = [row for row in rows if isinstance(row, Compared)]
    inputs, labels = comparable(compared, embed)
    need = need_of(inputs, labels, folds, seed)
    drawn = curve(compared, need)
    chosen = choices(compared, need, drawn, quality, cost, seed)
    if train:
        if by_text:
            raise BadRequest(
                "weights of need are trained on recorded decisions: lines with signals, not text"
            )
        threshold = chosen[-1][1].threshold
        told = {**about, "signals": list(NUMBERS), "threshold": threshold}
        write(train, fit(inputs, labels, ridge=RIDGE_NEED, about=told).json())
    if html:
        write(html, routing_page(f"rag eval routing: {weak} or {strong}", drawn, chosen))
    show_curve(drawn, chosen, as_json=as_json)


def embedder(settings: Settings) -> Embed:
    """The embedder of the settings, its query side."""
    from rag.store.encoders import open_embedder

    dense, _ = open_embedder(settings.embedding, settings.home, settings.embedding.threads)
    return lambda texts: np.stack([dense.embed_query(text) for text in texts]).astype(np.float64)


def told_apart(
    rows: Sequence[Labelled], inputs: Matrix, folds: int, hold_out: float, seed: int
) -> list[Score]:
    """How well kinds are told on what the weights had not seen."""
    labels = [row.label for row in rows]
    if hold_out:
        unseen = np.array([held_out(row.text, hold_out) for row in rows])
        seen = [label for label, out in zip(labels, unseen, strict=True) if not out]
        weights = fit(inputs[~unseen], seen, ridge=RIDGE)
        names, chances = weights.labels, weights.probabilities(inputs[unseen])
        rows = [row for row, out in zip(rows, unseen, strict=True) if out]
    else:
        names = tuple(sorted(set(labels)))
        chances = cross_validated(inputs, labels, folds, seed, RIDGE)
    told = [
        told_kind(dict(zip(names, each, strict=True)), row) for row, each in zip(rows, chances, strict=True)
    ]
    return scores([row.label for row in rows], told)


def trained(rows: Sequence[Labelled], inputs: Matrix, hold_out: float, about: dict[str, Any]) -> Regression:
    """Weights of all that was not held out."""
    kept = np.array([not hold_out or not held_out(row.text, hold_out) for row in rows])
    labels = [row.label for row, here in zip(rows, kept, strict=True) if here]
    return fit(inputs[kept], labels, ridge=RIDGE, about={**about, "features": list(FEATURES)})


def comparable(rows: Sequence[Compared], embed: Embed | None) -> tuple[Matrix, list[str]]:
    """Inputs and labels of compared questions. Raises BadRequest when all are alike."""
    labels = [row.label for row in rows]
    if len(set(labels)) < 2:
        raise BadRequest(f"every question of the file is {labels[0]!r}: nothing can be learned from it")
    if rows[0].signals:
        return np.array([row.signals for row in rows], dtype=np.float64), labels
    return inputs_of([row.text for row in rows], embed), labels


def need_of(inputs: Matrix, labels: Sequence[str], folds: int, seed: int) -> list[float]:
    """The probability of need of each row, by weights that had not seen it."""
    chances = cross_validated(inputs, labels, folds, seed, RIDGE_NEED)
    return [float(one) for one in chances[:, sorted(set(labels)).index(NEEDED)]]


def choices(
    rows: Sequence[Compared],
    need: Sequence[float],
    drawn: Curve,
    quality: float,
    cost: float | None,
    seed: int,
) -> list[tuple[str, Point]]:
    """The points worth naming, the chosen one last."""
    named = [("cheap tier only", drawn.weak), ("dear tier only", drawn.strong)]
    if cost is not None:
        return [*named, (f"best for {cost:g} a question", drawn.best(cost))]
    without_hindsight = checked(rows, need, quality, seed)
    return [
        *named,
        ("threshold of one half on the other (quality: share)", without_hindsight),
        (f"cheapest with {quality:.0%} of the quality", drawn.cheapest(quality)),
    ]


def show_scores(found: Sequence[Score], *, as_json: bool) -> None:
    """Print F1 by kind."""
    if as_json:
        told = [{**asdict(score), "f1": score.f1} for score in found]
        typer.echo(json.dumps({"macro_f1": macro_f1(found), "kinds": told}, indent=2))
        return
    table = Table("", "F1", "precision", "recall", "n", box=None, header_style="bold")
    for score in found:
        figures = (f"{value:.3f}" for value in (score.f1, score.precision, score.recall))
        table.add_row(score.label, *figures, str(score.count))
    table.add_row("macro", f"{macro_f1(found):.3f}", "", "", str(sum(score.count for score in found)))
    Console().print(table)


def show_curve(drawn: Curve, chosen: Sequence[tuple[str, Point]], *, as_json: bool) -> None:
    """Print the curve and the chosen points."""
    if as_json:
        points = [finite(point) for point in drawn.points]
        told = {name: finite(point) for name, point in chosen}
        typer.echo(json.dumps({"points": points, "chosen": told}, indent=2))
        return
    table = Table(
        "", "threshold", "dear calls", "quality", "cost", "by chance", box=None, header_style="bold"
    )
    places = np.linspace(0, len(drawn.points) - 1, min(SHOWN, len(drawn.points))).round().astype(int)
    for point in (drawn.points[place] for place in places):
        table.add_row("", *cells(point), f"{drawn.by_chance(point.strong):.3f}")
    for name, point in chosen:
        table.add_row(name, *cells(point), "")
    Console().print(table)


def finite(point: Point) -> dict[str, float | None]:
    """A point as JSON can hold it: no threshold above which no question lies."""
    fields: dict[str, float | None] = asdict(point)
    return {**fields, "threshold": None if point.threshold == float("inf") else point.threshold}
