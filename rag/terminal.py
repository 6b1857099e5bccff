"""What the commands share: the settings of a run, and answers and passages as a person reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag.answering.events import Delta, Event, Final
from rag.errors import WorkerError
from rag.settings import Settings
from rag.types import BM25, Answer, Citation, Outcome, Passage
from rag.visible import visible
from rag.wire import rag_part

NEAREST, CLIPPED = 3, 200  # passages, and their characters


def settings_of(context: typer.Context) -> Settings:
    """The settings in force for this run."""
    settings: Settings = context.meta["settings"]
    return settings


def show_events(events: Iterable[Event], *, sources: bool) -> Answer:
    """Print the answer while it comes, then what it rests on and what it cost."""
    answer = None
    for event in events:  # to the end: what comes behind the answer is its accounting
        if isinstance(event, Delta):
            typer.echo(event.text, nl=False)
        elif isinstance(event, Final):
            answer = event.answer
            typer.echo()
            show_evidence(answer, sources=sources)
    if answer is None:
        raise WorkerError("the answer ended before it was whole; ask again")
    return answer


def show_evidence(answer: Answer, *, sources: bool) -> None:
    """Citations with document, page or section and quote; then one line of figures."""
    if answer.outcome is not Outcome.NOT_FOUND:
        for citation in answer.citations:
            typer.secho(f"\n[{citation.marker}] {place(citation)}", bold=True)
            lines = [citation.header, citation.quote] if citation.header else [citation.quote]
            typer.echo("\n".join(f"    {' '.join(line.split())}" for line in lines))
    if sources:
        typer.echo()
        show_passages(answer.passages)
    elif answer.outcome is Outcome.NOT_FOUND:
        show_nearest(answer.passages)
    for note in (*answer.notes, *answer.warnings):
        typer.secho(f"\nnote: {visible(note)}", fg="yellow")
    typer.secho(f"\n{figures(answer)}", dim=True)


def show_nearest(passages: Sequence[Passage]) -> None:
    """What came nearest to a question that was declined: the best passage of each of three documents."""
    best: dict[str, Passage] = {}
    for passage in passages:
        best.setdefault(passage.document_id, passage)
    for passage in list(best.values())[:NEAREST]:
        chunk = passage.chunk
        where = placed(passage.title, chunk.pages[0] if chunk.pages else None, " > ".join(chunk.heading_path))
        typer.secho(f"\nnearest: {where}", bold=True)
        text = " ".join(chunk.text.split())
        typer.echo(f"    {visible(text[:CLIPPED])}{'…' if len(text) > CLIPPED else ''}")


def place(citation: Citation) -> str:
    """Document, page and section of a citation."""
    return placed(citation.title, citation.page, citation.section)


def placed(title: str, page: int | None, section: str) -> str:
    """What there is of them, each once."""
    parts = (visible(title), f"page {page}" if page else "", visible(section))
    return ", ".join(dict.fromkeys(part for part in parts if part))


def figures(answer: Answer) -> str:
    """Tier, tokens, seconds, cost, energy and egress in one line; --json has method and band of each."""
    tokens = answer.usage.prompt_tokens + answer.usage.completion_tokens
    seconds = answer.seconds.get("total", sum(answer.seconds.values()))
    cost, basis = answer.cost, " (estimate)" if answer.cost.method.startswith("estimate") else ""
    told = [
        answer.tier,
        f"{tokens} tokens",
        f"{seconds:.2f} s",
        f"{money(cost.amount)} {cost.currency}{basis}",
    ]
    if cost.energy_wh:
        told += [f"{money(cost.energy_wh)} Wh", f"{money(cost.co2e_g)} g CO2e"]
    return " · ".join([*told, answer.egress])


def money(amount: float) -> str:
    """An amount with two figures that count, however small: never 1e-05."""
    digits = max(2, 1 - math.floor(math.log10(amount))) if amount > 0 else 2
    return f"{amount:.{digits}f}"


def show_passages(passages: Sequence[Passage]) -> None:
    """A table of passages with the score of each leg."""
    terms = passages[0].terms if passages else BM25
    table = Table("", "score", "dense", terms, "document", "where", "text", box=None, header_style="bold")
    for number, passage in enumerate(passages, 1):
        chunk = passage.chunk
        where = " ".join([*(f"p. {page}" for page in chunk.pages[:1]), " > ".join(chunk.heading_path)])
        text = " ".join(chunk.text.split())[:160]
        scores = (f"{passage.score:.3f}", score(passage.dense), score(passage.sparse))
        # As text: rich would read brackets as its markup and :x: as a picture.
        table.add_row(str(number), *scores, *(Text(visible(each)) for each in (passage.title, where, text)))
    Console().print(table)


def score(value: float | None) -> str:
    """The score of a leg; a dash when the passage was not in it."""
    return "-" if value is None else f"{value:.2f}"


def answer_json(answer: Answer, *, passages: bool) -> dict[str, Any]:
    """An answer for programs: its text and the `rag` object of the API."""
    part = rag_part(answer, passages=passages, model_sha256="", ignored=[])
    return {"answer": answer.text, **part.model_dump(mode="json", exclude={"model_sha256", "ignored"})}


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=indent))
