"""`rag eval make-golden` and `rag eval review`: a data set about one's own documents, checked by a person."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from rag.assembly import open_system
from rag.conversations.feedback import liked
from rag.errors import BadRequest
from rag.evaluation.commands.quality import Seed, not_measured, settings_here
from rag.evaluation.golden import REVIEW, Golden, Status, decided, load, merged, propose, save
from rag.settings import Settings

KEYS = "[a]ccept, [r]eject, [e]dit, [s]kip, [q]uit"


def register(group: typer.Typer) -> None:
    """Add the commands to `rag eval`."""
    group.command("make-golden")(make_golden)
    group.command("review")(review)


def make_golden(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    collection: Annotated[str, typer.Option(help="Whose documents are asked about.")] = "default",
    count: Annotated[int, typer.Option("-n", "--n", min=1, help="How many questions.")] = 50,
    seed: Seed = 1,
    from_feedback: Annotated[
        bool, typer.Option("--from-feedback", help="Questions whose answers got a thumb up, instead.")
    ] = False,
) -> None:
    """Propose questions about your own documents. `rag eval review` then asks you which are good."""
    with not_measured():
        settings = settings_here(context)
        fresh = asyncio.run(
            praised(settings) if from_feedback else proposed(settings, collection, count, seed)
        )
        if not fresh and from_feedback:
            raise BadRequest("no answer with a citation that still stands got a thumb up yet")
        if not fresh:
            raise BadRequest(
                f"no sentence of collection {collection!r} states a fact that a rule can ask for"
            )
        known = load(out)
        everything = merged(known, fresh)
        save(out, everything)
    typer.echo(f"{len(everything) - len(known)} new questions in {out / REVIEW}; next: rag eval review {out}")


async def proposed(settings: Settings, collection: str, count: int, seed: int) -> list[Golden]:
    """Questions about the documents of a collection."""
    async with open_system(settings, generation=False) as system:
        await system.check_collection(collection, system.principal)
        return await asyncio.to_thread(propose, system, collection, count, seed)


async def praised(settings: Settings) -> list[Golden]:
    """The questions whose answers readers liked, with the words that their first citation names."""
    async with open_system(settings, generation=False) as system:
        found = await asyncio.to_thread(liked, system.catalog, system.principal)
    return [
        Golden(
            f"{each.message}-{cited.marker}",
            each.question,
            cited.quote,
            cited.uri,
            cited.title,
            cited.quote,
            "feedback",
        )
        for each in found
        for cited in each.citations[:1]
    ]


def review(folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)]) -> None:
    """Go through the proposed questions. What you decide is kept at once; only accepted ones are used."""
    with not_measured():
        everything = load(folder)
        waiting = [n for n, one in enumerate(everything) if one.status is Status.PROPOSED]
        for place, n in enumerate(waiting, 1):
            typer.secho(f"\n{place} of {len(waiting)}: {everything[n].title}", bold=True)
            answer = asked(everything[n])
            if answer is None:
                break
            everything[n] = answer
            save(folder, everything)
    counts = {status: sum(one.status is status for one in everything) for status in Status}
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()))


def asked(golden: Golden) -> Golden | None:
    """What a person decides about one question; None to stop."""
    typer.echo(f"  question  {golden.question}\n  answer    {golden.answer}")
    typer.secho(f"  source    {' '.join(golden.sentence.split())}", dim=True)
    while True:
        match typer.prompt(KEYS, default="s").strip().lower()[:1]:
            case "a":
                return decided(golden, Status.ACCEPTED)
            case "r":
                return decided(golden, Status.REJECTED)
            case "s":
                return golden
            case "q":
                return None
            case "e":
                question = typer.prompt("question", default=golden.question)
                answer = typer.prompt("answer", default=golden.answer)
                return decided(golden, Status.ACCEPTED, question=question, answer=answer)
            case _:
                continue
