"""`rag audit`: the last rows, all rows for another program, and whether the chain is whole."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rag.accounts.commands.opening import HOLDER, Json, OneTenant, opened

audit = typer.Typer(
    no_args_is_help=True, help="The audit log: who did what to what, and that nobody edited it."
)


@audit.command()
def log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many rows.")] = 50,
    tenant: OneTenant = None,
    as_json: Json = False,
) -> None:
    """The last rows, oldest first."""
    with opened(context) as accounts:
        rows = accounts.audit.latest(tenant=tenant, limit=limit)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
        return
    for row in rows:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.time))
        typer.echo(
            f"{row.seq:>7}  {moment}  {row.tenant}/{row.actor}  {row.action} {row.object}  {row.outcome}"
        )


@audit.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Made anew: one JSON object a line.")],
) -> None:
    """Write every row with its link, and export the head of the accounts.audit."""
    with opened(context) as accounts, file.open("w") as out:
        count = 0
        for row in accounts.audit.all():
            out.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            count += 1
        head = accounts.audit.export_head()
        accounts.audit.record("audit.read", HOLDER, object=file.name)
    typer.echo(f"{count} rows written; the head is {head.digest if head else 'none'}")


@audit.command()
def verify(context: typer.Context, as_json: Json = False) -> None:
    """Read the whole chain and hold it against the exported heads. Exit status 1 when something is wrong."""
    with opened(context) as accounts:
        found = accounts.audit.verify()
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo(found.problem or f"{found.rows} rows are as they were written; {found.heads} heads agree")
    raise typer.Exit(1 if found.problem else 0)
