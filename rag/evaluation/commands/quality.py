"""`rag eval retrieval` and `rag eval answers`: measured, compared with an earlier run, and reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rag.errors import RagError
from rag.evaluation.answers import answer_all
from rag.evaluation.benchmark import Item, read_benchmark
from rag.evaluation.comparison import MARGIN, Change, changes
from rag.evaluation.junit import junit
from rag.evaluation.library import Library
from rag.evaluation.measuring import Measure, measured
from rag.evaluation.page import page
from rag.evaluation.progress import counting
from rag.evaluation.record import KINDS, Asked, Record, quantile, write
from rag.evaluation.retrieval import search_all
from rag.settings import Settings
from rag.terminal import settings_of
from rag.types import Tier

WORSE, NOT_MEASURED = 1, 2

Dataset = Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder with queries.jsonl.")]
Collection = Annotated[
    str | None, typer.Option(help="Ask the documents of this collection, not the data set's corpus.")
]
Baseline = Annotated[Path | None, typer.Option(exists=True, help="An earlier --out to compare with.")]
Out = Annotated[Path | None, typer.Option(help="Keep everything as JSON.")]
JUnit = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML for CI.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page with plots and the worst questions.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many questions, drawn with --seed.")]
Seed = Annotated[int, typer.Option(help="Draws questions and resamples.")]
Margin = Annotated[float, typer.Option(min=0, max=1, help="How much worse than the baseline is too much.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line, beside what is measured."""

    dataset: Path
    collection: str | None
    baseline: Path | None
    out: Path | None
    junit: Path | None
    html: Path | None
    limit: int | None
    seed: int
    margin: float
    as_json: bool


def register(group: typer.Typer) -> None:
    """Add the commands to `rag eval`."""
    group.command("retrieval")(retrieval)
    group.command("answers")(answers)


def retrieval(
    context: typer.Context,
    dataset: Dataset,
    collection: Collection = None,
    baseline: Baseline = None,
    out: Out = None,
    junit: JUnit = None,
    html: Html = None,
    limit: Limit = None,
    seed: Seed = 1,
    margin: Margin = MARGIN,
    as_json: Json = False,
) -> None:
    """Does search find the passages that answer? nDCG, recall, MRR, hit@1.

    Exit status 0: measured, and no worse than the baseline; 1: worse; 2: not measured.
    """
    wish = Wish(dataset, collection, baseline, out, junit, html, limit, seed, margin, as_json)
    evaluate(settings_of(context), "retrieval", search_all, wish)


def answers(
    context: typer.Context,
    dataset: Dataset,
    collection: Collection = None,
    baseline: Baseline = None,
    out: Out = None,
    junit: JUnit = None,
    html: Html = None,
    limit: Limit = None,
    seed: Seed = 1,
    margin: Margin = MARGIN,
    tier: Annotated[Tier | None, typer.Option(help="Who words the answers [answering.tier].")] = None,
    as_json: Json = False,
) -> None:
    """Are answers right, declined where they must be, and founded on what they cite? And what do they cost?

    Exit status 0: measured, and no worse than the baseline; 1: worse; 2: not measured.
    """

    def measure(library: Library, items: Sequence[Item]) -> AsyncIterator[Asked]:
        return answer_all(library, items, tier)

    settings = settings_of(context)
    wish = Wish(dataset, collection, baseline, out, junit, html, limit, seed, margin, as_json)
    evaluate(
        settings, "answers", measure, wish, generation=(tier or settings.answering.tier) is not Tier.EXTRACT
    )


def evaluate(
    settings: Settings, kind: str, measure: Measure, wish: Wish, *, generation: bool = False
) -> None:
    """Measure, report, and end the command."""
    with not_measured():
        earlier = Record.load(wish.baseline) if wish.baseline else None  # before an hour of work
        benchmark = read_benchmark(wish.dataset).chosen(wish.limit, wish.seed)
        with counting("documents") as reading, counting("questions") as asking:
            record = asyncio.run(
                measured(
                    settings,
                    kind,
                    measure,
                    benchmark,
                    collection=wish.collection,
                    seed=wish.seed,
                    generation=generation,
                    reading=reading,
                    asking=asking,
                )
            )
        found = changes(record, earlier, wish.margin) if earlier else []
        if wish.out:
            record.save(wish.out)
        if wish.junit:
            write(wish.junit, junit(record, found))
        if wish.html:
            write(wish.html, page(record, found))
    if wish.as_json:
        told = {name: asdict(one) for name, one in record.measures().items()}
        about: dict[str, Any] = {"kind": kind, "dataset": record.dataset, "bound": record.bound}
        changed = [asdict(change) for change in found]
        typer.echo(json.dumps({**about, "measures": told, "changes": changed}, indent=2))
    else:
        show(record, found)
    raise typer.Exit(WORSE if any(change.is_worse for change in found) else 0)


@contextmanager
def not_measured() -> Iterator[None]:
    """An error of ours ends the command with a status that is not that of a result."""
    try:
        yield
    except RagError as error:
        typer.secho(f"rag: {error}", fg="red", err=True)
        raise typer.Exit(NOT_MEASURED) from None


def show(record: Record, found: Sequence[Change]) -> None:
    """Print the scores, and what changed."""
    changed = {change.name: change for change in found}
    columns = ["", "mean", "95 % interval", "p50", "p95", "n", *(["worse by", "p"] if found else [])]
    table = Table(*columns, box=None, header_style="bold")
    for name, one in record.measures().items():
        values = record.values(name)
        cells = [
            KINDS[name].label,
            f"{one.mean:.4g}",
            f"{one.low:.4g} to {one.high:.4g}",
            f"{quantile(values, 0.5):.3g}",
            f"{quantile(values, 0.95):.3g}",
            str(one.count),
        ]
        if change := changed.get(name):
            told = f"{change.drop.mean:+.4f} [{change.drop.low:+.4f}, {change.drop.high:+.4f}]"
            cells += [f"[red]{told}[/]" if change.is_worse else told.replace("[", r"\[")]
            cells += [f"{change.p:.3f}" if change.p is not None else ""]
        table.add_row(*cells)
    Console().print(table)
