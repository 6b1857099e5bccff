"""`rag reindex`: a new generation of the index beside the one that answers, and the way back."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

import typer

from ingest.commands.deeds import record
from ingest.commands.opening import Json, opened
from ingest.commands.show import progress, show
from ingest.forecast import Forecast, of_chunks, rates
from ingest.jobs import Summary
from ingest.rebuilding import Rebuild
from rag.cost.rates import rates_of
from rag.store.generations import Generation


def reindex(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also when no setting changed.")] = False,
    back: Annotated[bool, typer.Option("--back", help="Let the generation before answer again.")] = False,
    drop: Annotated[int | None, typer.Option(help="Give up a generation that does not answer.")] = None,
    graph: Annotated[
        bool,
        typer.Option("--graph", help="Only build the graph of the live index; questions wait meanwhile."),
    ] = False,
    show_all: Annotated[bool, typer.Option("--list", help="Only list the generations.")] = False,
    as_json: Json = False,
) -> None:
    """Index everything anew with today's settings. The old index answers until the new one is whole."""
    if show_all:
        list_all(context, as_json)
    elif graph:
        build_graph(context)
    elif back:
        go_back(context)
    elif drop is not None:
        give_up(context, drop)
    else:
        due, expected = asyncio.run(look(context, force))
        typer.echo("\n".join(f"  {each}" for each in due) or "  no setting changed")
        typer.echo(f"a new generation: {expected}")
        typer.echo("the index of today answers until then and is kept for rag reindex --back")
        if not yes and not typer.confirm("build it?"):
            raise typer.Exit
        show(asyncio.run(build(context, force)))


async def look(context: typer.Context, force: bool) -> tuple[list[str], Forecast]:
    """What differs from the live generation, and what a new one will take."""
    async with opened(context) as system:
        pipeline = system.pipeline()
        documents = system.catalog.documents(system.principal)
        chunks = sum(each.chunks for each in documents)
        speed = rates(pipeline.jobs.all(system.principal), pipeline.settings.home, chunks)
        size = sum(each.size_bytes for each in documents)
        expected = of_chunks(
            len(documents), size, chunks, speed, rates_of(pipeline.settings.hardware, pipeline.settings.cost)
        )
        return Rebuild(pipeline).due(force=force), expected


async def build(context: typer.Context, force: bool) -> Summary:
    async with opened(context) as system:
        with progress(quiet=False) as listener:
            summary = await Rebuild(system.pipeline()).run(force=force, on_event=listener)
        record(system, "index.build", summary.job)
        return summary


def build_graph(context: typer.Context) -> None:
    async def do() -> tuple[bool, float]:
        async with opened(context) as system:
            started = time.monotonic()
            built = await system.vectors.optimize()
            record(system, "index.graph", "live")
            return built, time.monotonic() - started

    built, seconds = asyncio.run(do())
    typer.echo(f"the graph is built, {seconds:.1f} s" if built else "there is nothing to build")


def go_back(context: typer.Context) -> None:
    async def do() -> tuple[Generation, int]:
        async with opened(context) as system:
            found: tuple[Generation, int] = await asyncio.to_thread(system.pipeline().generations.go_back)
            record(system, "index.back", str(found[0].number))
            return found

    generation, waiting = asyncio.run(do())
    typer.echo(f"generation {generation.number} answers again ({settings_of(generation)})")
    if waiting:
        typer.echo(f"{waiting} documents changed since it was built and wait for the next rag ingest")
    typer.echo("set the settings back too, or rag ingest will ask for rag reindex")


def give_up(context: typer.Context, number: int) -> None:
    async def do() -> None:
        async with opened(context) as system:
            await system.pipeline().upkeep.drop(number)
            record(system, "index.drop", str(number))

    asyncio.run(do())
    typer.echo(f"generation {number} is dropped")


def list_all(context: typer.Context, as_json: bool) -> None:
    async def do() -> list[Generation]:
        async with opened(context) as system:
            found: list[Generation] = await asyncio.to_thread(system.pipeline().generations.all)
            return found

    found = asyncio.run(do())
    if as_json:
        shown: list[dict[str, Any]] = [
            {"generation": each.number, "state": each.state, "recipe": dict(each.recipe)} for each in found
        ]
        typer.echo(json.dumps(shown, indent=2))
        return
    for each in found:
        since = time.strftime("%Y-%m-%d", time.localtime(each.live_at or each.created_at))
        typer.echo(f"{each.number}  {each.state:<9} since {since}  {settings_of(each)}")


def settings_of(generation: Generation) -> str:
    """The settings that made a generation, in one line."""
    return ", ".join(f"{name} {value}" for name, value in generation.recipe.items()) or "settings not known"
