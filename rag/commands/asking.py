"""`rag ask`, `rag search` and `rag chat`: of a home, or of a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rag.commands.opening import opened
from rag.errors import RagError, UnknownModel
from rag.sdk.client import Client
from rag.sdk.knowledge import Knowledge
from rag.terminal import answer_json, echo_json, settings_of, show_events, show_passages
from rag.types import Answer, Message, Passage, Tier

REMEMBERED = 20  # turns that a chat sends along

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Collection = Annotated[str | None, typer.Option(help="Only documents of this collection.")]
TierName = Annotated[
    str | None, typer.Option("--tier", help="Who words the answer, such as auto or extract.")
]
Filter = Annotated[str, typer.Option(help="Only such documents: label:policy language:de date:2023..")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Answer cheaper, or not at all, above this.")]
Sources = Annotated[bool, typer.Option("--sources", help="Show all passages that were found.")]


def register(app: typer.Typer) -> None:
    """Add the commands that ask."""
    for command in (ask, search, chat):
        app.command()(command)


def ask(
    context: typer.Context,
    questions: Annotated[list[str] | None, typer.Argument(metavar="QUESTION...")] = None,
    file: Annotated[
        Path | None, typer.Option("--from", exists=True, dir_okay=False, help="A file, one question a line.")
    ] = None,
    as_json: Json = False,
    sources: Sources = False,
    tier: TierName = None,
    collection: Collection = None,
    filter: Filter = "",
    max_cost: MaxCost = None,
) -> None:
    """Answer questions with citations.

    "Not in the documents" is an answer too, with exit status 0.
    """
    asked = [*(questions or []), *(file.read_text().splitlines() if file else [])]
    if not any(question.strip() for question in asked):
        raise typer.BadParameter('ask something: rag ask "How long ...?"')
    with opened(context) as knowledge:
        check_collection(knowledge, collection)
        warm(knowledge, tier)
        for question in asked:
            if not question.strip():
                continue
            if as_json:
                answer = knowledge.ask(
                    question, tier=tier, collection=collection, filter=filter, max_cost=max_cost
                )
                echo_json(answer_json(answer, passages=sources))
                continue
            if len(asked) > 1:
                typer.secho(f"\n› {question}", fg="cyan", bold=True)
            events = knowledge.stream(
                question, tier=tier, collection=collection, filter=filter, max_cost=max_cost
            )
            answer = show_events(events, sources=sources)
            hint_if_empty(knowledge, answer.passages)


def search(
    context: typer.Context,
    query: str,
    as_json: Json = False,
    limit: Annotated[
        int | None, typer.Option(min=1, max=100, help="How many passages [retrieval.limit].")
    ] = None,
    collection: Collection = None,
    filter: Filter = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show what made the order.")] = False,
) -> None:
    """Passages for a query, best first, with the score of each leg."""
    if not query.strip():
        raise typer.BadParameter('search for something: rag search "calibration records"')
    with opened(context) as knowledge:
        check_collection(knowledge, collection)
        passages = knowledge.search(query, collection=collection, limit=limit, filter=filter)
        hint_if_empty(knowledge, passages)
    if as_json:
        echo_json([asdict(passage) for passage in passages])
        return
    if not passages:
        typer.secho("no passage is close to that", fg="yellow", err=True)
        return
    show_passages(passages)
    if explain:
        from rag.models.lockfile import languages_of
        from rag.retrieval.explanation import explained

        set_up = settings_of(context)
        known = languages_of(set_up.embedding.model, set_up.home)
        for line in explained(query, passages, set_up.retrieval.dense_weight, known):
            typer.echo(line)


def chat(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each answer.")] = False,
    sources: Sources = False,
    tier: TierName = None,
    collection: Collection = None,
) -> None:
    """Ask in turns: what was said before is understood.

    /new forgets what was said, Ctrl-C ends an answer, Ctrl-D or /exit ends the chat.
    """
    history: list[Message] = []
    with opened(context) as knowledge:
        check_collection(knowledge, collection)
        warm(knowledge, tier)
        for question in questions():
            if question == "/new":
                history.clear()
                continue
            try:
                answer = answered(
                    knowledge,
                    question,
                    history,
                    tier=tier,
                    collection=collection,
                    sources=sources,
                    quiet=as_json,
                )
            except KeyboardInterrupt:
                typer.secho("\n(ended)", dim=True, err=True)
                continue
            except RagError as error:
                typer.secho(f"rag: {error}", fg="red", err=True)
                continue
            history += [Message("user", question), Message("assistant", answer.text)]
            del history[: -2 * REMEMBERED]


def answered(
    knowledge: Knowledge,
    question: str,
    history: Sequence[Message],
    *,
    tier: str | None,
    collection: str | None,
    sources: bool,
    quiet: bool,
) -> Answer:
    """One turn of a chat, shown as it comes, or as one line of JSON."""
    if quiet:
        answer = knowledge.ask(question, history=history, tier=tier, collection=collection)
        echo_json(answer_json(answer, passages=sources), indent=None)
        return answer
    events = knowledge.stream(question, history=history, tier=tier, collection=collection)
    return show_events(events, sources=sources)


def questions() -> Iterator[str]:
    """What is typed, line by line, until the end of input or /exit."""
    prompt = ""
    if sys.stdin.isatty():
        import readline  # noqa: F401  (input() then edits its line and remembers earlier ones)

        prompt = "\n› "
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        if line == "/exit":
            return
        if line:
            yield line


def check_collection(knowledge: Knowledge, name: str | None) -> None:
    """Raises UnknownModel for one that is not there: its documents would only seem to say nothing."""
    if name is not None and name not in (known := knowledge.collections()):
        raise UnknownModel(f"no collection {name!r}; have {', '.join(known) or 'none yet'}")


def warm(knowledge: Knowledge, tier: str | None) -> None:
    """Begin to start what answers, where that is in this process."""
    if isinstance(knowledge, Client) or tier == Tier.EXTRACT:
        return
    from rag.sdk.rag import Rag

    assert isinstance(knowledge, Rag)
    knowledge.warm()


def hint_if_empty(knowledge: Knowledge, found: Sequence[Passage]) -> None:
    """Nothing found because nothing is there yet: say what to do."""
    if not found and not knowledge.documents():
        typer.secho("no documents yet: rag ingest PATH adds some", fg="yellow", err=True)
