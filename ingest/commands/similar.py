"""`rag duplicates`: documents that say nearly the same."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from ingest.alike import Alike, alike, groups, newest
from ingest.commands.opening import Json, opened
from ingest.duplicates import ALIKE


def duplicates(
    context: typer.Context,
    least: Annotated[float, typer.Option(min=0.1, max=1.0, help="How similar; 1: the same words.")] = ALIKE,
    as_json: Json = False,
) -> None:
    """Documents that say nearly the same: copies, and versions of one another."""

    async def look() -> list[Alike]:
        async with opened(context) as system:
            return await asyncio.to_thread(alike, system.catalog, system.principal, least=least)

    pairs = asyncio.run(look())
    if as_json:
        typer.echo(json.dumps([json_of(pair) for pair in pairs], ensure_ascii=False, indent=2))
        return
    if not pairs:
        typer.echo("no two documents are that similar")
    for number, group in enumerate(groups(pairs), start=1):
        typer.secho(f"group {number}", bold=True)
        ids = {document.id for document in group}
        latest = newest(group)
        for document in group:
            note = ", the newest by its name" if document is latest else ""
            typer.echo(f"  {document.uri}  ({document.title}{note})")
        inside = [pair for pair in pairs if pair.one.id in ids]
        low, high = inside[-1].similarity, inside[0].similarity
        copies = ", copies among them" if any(pair.same_bytes for pair in inside) else ""
        typer.secho(f"  {low:.2f} to {high:.2f} similar{copies}", dim=True)


def json_of(pair: Alike) -> dict[str, object]:
    return {
        "one": {"id": pair.one.id, "uri": pair.one.uri, "title": pair.one.title},
        "other": {"id": pair.other.id, "uri": pair.other.uri, "title": pair.other.title},
        "similarity": round(pair.similarity, 3),
        "same_bytes": pair.same_bytes,
    }
