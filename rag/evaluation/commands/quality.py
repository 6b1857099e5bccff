"""`rag eval retrieval` and `rag eval answers`: measured, compared with an earlier run, and reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from rag.errors import BadRequest, RagError
from rag.evaluation.benchmark import read_benchmark
from rag.evaluation.comparison import MARGIN, Change, changes
from rag.evaluation.declining import Declining, declining
from rag.evaluation.junit import junit
from rag.evaluation.library import evaluated
from rag.evaluation.page import page
from rag.evaluation.progress import counting
from rag.evaluation.record import Record, quantile, write
from rag.sdk.client import Client
from rag.sdk.knowledge import Kind
from rag.settings import Settings
from rag.terminal import settings_of

WORSE, NOT_MEASURED = 1, 2
RETRIES = 5  # of a request to a server that is busy: an hour of questions should not end at one of them

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
    tier: str | None = None


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
    evaluate(context, "retrieval", wish)


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
    tier: Annotated[str | None, typer.Option(help="Who words the answers [answering.tier].")] = None,
    as_json: Json = False,
) -> None:
    """Are answers right, declined where they must be, and founded on what they cite? And what do they cost?

    Exit status 0: measured, and no worse than the baseline; 1: worse; 2: not measured.
    """

    wish = Wish(dataset, collection, baseline, out, junit, html, limit, seed, margin, as_json, tier)
    evaluate(context, "answers", wish)


def evaluate(context: typer.Context, kind: Kind, wish: Wish) -> None:
    """Measure, report, and end the command."""
    with not_measured():
        earlier = Record.load(wish.baseline) if wish.baseline else None  # before an hour of work
        url = context.obj.url
        record = measured_at(url, kind, wish) if url else measured_here(settings_of(context), kind, wish)
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
        choice = declining(record)
        about["declining"] = asdict(choice) if choice else None
        typer.echo(json.dumps({**about, "measures": told, "changes": changed}, indent=2))
    else:
        show(record, found)
    raise typer.Exit(WORSE if any(change.is_worse for change in found) else 0)


def settings_here(context: typer.Context) -> Settings:
    """The settings, for what is measured on this machine only: where a server is named the command ends."""
    if url := context.obj.url:
        context.fail(
            f"rag eval {context.info_name} acts on this machine; of the server at {url} only retrieval and "
            "answers are measured: run it there, without --url (--home DIR goes before RAG_URL)"
        )
    return settings_of(context)


def measured_here(settings: Settings, kind: Kind, wish: Wish) -> Record:
    """A collection of the home, or the data set's own corpus."""
    benchmark = read_benchmark(wish.dataset).chosen(wish.limit, wish.seed)
    with counting("documents") as reading, counting("questions") as asking:
        return asyncio.run(
            evaluated(
                settings,
                benchmark,
                kind,
                tier=wish.tier,
                collection=wish.collection,
                seed=wish.seed,
                reading=reading,
                asking=asking,
            )
        )


def measured_at(url: str, kind: Kind, wish: Wish) -> Record:
    """A collection of a server, with the rights of RAG_API_KEY."""
    with Client(url, max_retries=RETRIES) as client, counting("questions") as asking:
        if wish.collection is None:
            raise BadRequest(
                f"the server at {url} is asked about a collection of its own: --collection NAME, of "
                f"{', '.join(client.collections()) or 'none that this key may read'}; the corpus of "
                f"{wish.dataset.name} is measured on this machine: rag --home DIR eval {kind} ..."
            )
        return client.evaluate(
            wish.dataset,
            kind=kind,
            collection=wish.collection,
            tier=wish.tier,
            limit=wish.limit,
            seed=wish.seed,
            progress=asking,
        )


@contextmanager
def not_measured() -> Iterator[None]:
    """An error of ours ends the command with a status that is not that of a result."""
    try:
        yield
    except RagError as error:
        typer.secho(f"rag: {error}", fg="red", err=True)
        raise typer.Exit(NOT_MEASURED) from None


def show(record: Record, found: Sequence[Change]) -> None:
    """Print the scores, or what became of them since the baseline, and what they depend on."""
    console = Console()
    console.print(compared(record, found) if found else scored(record))
    if choice := declining(record):
        console.print(bars(choice))
    told = " · ".join(f"{name} {value[:12] if is_digest(value) else value}" for name, value in bound(record))
    console.print(Text(told, style="dim"))


def scored(record: Record) -> Table:
    """Every score with its interval."""
    table = Table("", "mean", "95 % interval", "p50", "p95", "n", box=None, header_style="bold")
    for name, one in record.measures().items():
        values = record.values(name)
        table.add_row(
            record.label(name),
            f"{one.mean:.4g}",
            f"{one.low:.4g} to {one.high:.4g}",
            f"{quantile(values, 0.5):.3g}",
            f"{quantile(values, 0.95):.3g}",
            str(one.count),
        )
    return table


def bars(choice: Declining) -> Table:
    """What other bars of confidence would do with the same questions."""
    table = Table(
        "answering.decline_below",
        f"refused, of {choice.answerable} answerable",
        f"declined, of {choice.unanswerable} unanswerable",
        title=f"confidence: AUC {choice.auc:.2f}",
        title_justify="left",
        box=None,
        header_style="bold",
    )
    for bar in choice.bars:
        table.add_row(f"{bar.below:.2f}", f"{bar.refused:.0%}", f"{bar.declined:.0%}")
    return table


def compared(record: Record, found: Sequence[Change]) -> Table:
    """Every score that both have, on the questions of both."""
    drops = Column("worse by", no_wrap=True)
    table = Table("", "before", "now", drops, "p", "n", box=None, header_style="bold")
    for change in found:
        drop = change.drop
        table.add_row(
            record.label(change.name),
            f"{change.before:.4g}",
            f"{change.now:.4g}",
            Text(f"{drop.mean:+.4f} [{drop.low:+.4f}, {drop.high:+.4f}]", "red" if change.is_worse else ""),
            f"{change.p:.3f}" if change.p is not None else "",
            str(drop.count),
        )
    return table


def bound(record: Record) -> list[tuple[str, str]]:
    """What the numbers depend on, as far as it is known."""
    return [
        ("questions of", record.dataset),
        *((name, value) for name, value in record.bound.items() if value),
    ]


def is_digest(value: str) -> bool:
    """Whether this is a SHA-256."""
    return len(value) == 64 and set(value) <= set("0123456789abcdef")
