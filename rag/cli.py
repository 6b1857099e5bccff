"""The command line. Exit status 0: done; 1: an error, told in one sentence; 2: wrong usage; ingest adds 3."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

import rag
from ingest.cli import register
from rag.api import address
from rag.api.server import serve as serve_until_signal
from rag.assembly import open_system
from rag.doctor import examine
from rag.errors import RagError
from rag.evaluation.cli import register as register_evaluation
from rag.models.cli import register as register_models
from rag.retrieval.explanation import explained
from rag.sdk import Client, Rag
from rag.settings import Settings, load
from rag.silence import silence
from rag.terminal import answer_json, settings_of, show_events, show_passages
from rag.types import Passage, Tier

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Cited answers from your own documents."
)


@dataclass
class Run:
    """What holds for one run of the command."""

    debug: bool = False


Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of database, index and caches [setting home].")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Collection = Annotated[str | None, typer.Option(help="Only documents of this collection.")]


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    home: Home = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of every command."""
    context.ensure_object(Run).debug = debug
    if version:
        typer.echo(f"permafrost-rag {rag.__version__}")
        raise typer.Exit
    context.meta["settings"] = load(home=home)
    context.meta["open_system"] = open_system


@contextmanager
def opened(settings: Settings) -> Iterator[Client | Rag]:
    """The running server of this home, else the home itself."""
    if url := address.find(settings.home):
        with Client(url, settings.server.api_key) as client:
            yield client
    else:
        with Rag(settings, linger=True) as system:
            yield system


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on [server.host].")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0 takes a free one [server.port].")
    ] = None,
) -> None:
    """Answer over HTTP: chat page, OpenAI-compatible API, search. Ctrl-C finishes what runs, then ends."""
    settings = settings_of(context)
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"server": settings.server.model_copy(update=changes)})
    asyncio.run(
        serve_until_signal(settings, announce=lambda url: print(f"Permafrost answers at {url}", flush=True))
    )


@app.command()
def ask(
    context: typer.Context,
    questions: Annotated[list[str] | None, typer.Argument(metavar="QUESTION...")] = None,
    file: Annotated[
        Path | None, typer.Option("--from", exists=True, dir_okay=False, help="A file, one question a line.")
    ] = None,
    as_json: Json = False,
    sources: Annotated[bool, typer.Option("--sources", help="Show all passages that were found.")] = False,
    tier: Annotated[str | None, typer.Option(help="Who words the answer: auto, extract or small.")] = None,
    collection: Collection = None,
) -> None:
    """Answer questions with citations. "Not in the documents" is an answer too, with exit status 0."""
    asked = [*(questions or []), *(file.read_text().splitlines() if file else [])]
    if not any(question.strip() for question in asked):
        raise typer.BadParameter('ask something: rag ask "How long ...?"')
    with opened(settings_of(context)) as knowledge:
        if isinstance(knowledge, Rag) and tier != Tier.EXTRACT:
            knowledge.warm()
        for question in filter(str.strip, asked):
            if as_json:
                answer = knowledge.ask(question, tier=tier, collection=collection)
                typer.echo(json.dumps(answer_json(answer, passages=sources), ensure_ascii=False, indent=2))
                continue
            if len(asked) > 1:
                typer.secho(f"\n› {question}", fg="cyan", bold=True)
            answer = show_events(
                knowledge.stream(question, tier=tier, collection=collection), sources=sources
            )
            hint_if_empty(knowledge, answer.passages)


@app.command()
def search(
    context: typer.Context,
    query: str,
    as_json: Json = False,
    limit: Annotated[
        int | None, typer.Option(min=1, max=100, help="How many passages [retrieval.limit].")
    ] = None,
    collection: Collection = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what made the order.")] = False,
) -> None:
    """Passages for a query, best first, with the score of each leg."""
    with opened(settings_of(context)) as knowledge:
        passages = knowledge.search(query, collection=collection, limit=limit)
        hint_if_empty(knowledge, passages)
    if as_json:
        typer.echo(json.dumps([asdict(passage) for passage in passages], ensure_ascii=False, indent=2))
        return
    show_passages(passages)
    if explain:
        for line in explained(query, passages, settings_of(context).retrieval.dense_weight):
            typer.echo(line)


def hint_if_empty(knowledge: Client | Rag, found: Sequence[Passage]) -> None:
    """Nothing found because nothing is there yet: say what to do."""
    if not found and not knowledge.documents():
        typer.secho("no documents yet: rag ingest PATH adds some", fg="yellow", err=True)


@app.command()
def doctor(context: typer.Context) -> None:
    """Look at Python, CPU, disk, models, the llama.cpp build and the index. Exit status 1 if one is wrong."""

    async def report() -> bool:
        good = True
        async for finding in examine(settings_of(context)):
            good = good and finding.good
            typer.echo(f"{'ok ' if finding.good else 'BAD'}  {finding.what:<28} {finding.detail}")
        return good

    raise typer.Exit(0 if asyncio.run(report()) else 1)


register(app)
register_models(app)
register_evaluation(app)


def main() -> None:
    """The `rag` command."""
    silence()
    run = Run()
    try:
        app(obj=run)
    except RagError as error:
        if run.debug:
            raise
        typer.secho(f"rag: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
