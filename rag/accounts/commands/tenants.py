"""`rag tenants`: what each may use."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rag.accounts.commands.opening import HOLDER, opened, print_json

tenants = typer.Typer(no_args_is_help=True, help="Tenants: what each may use.")


@tenants.callback()
def area() -> None:
    """What each tenant may use."""


@tenants.command()
def limit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="TENANT")],
    requests: Annotated[int | None, typer.Option(min=0, help="A minute; 0: no limit.")] = None,
    tokens: Annotated[int | None, typer.Option(min=0, help="Of prompts, a minute; 0: no limit.")] = None,
    documents: Annotated[int | None, typer.Option(min=0, help="It may hold; 0: no limit.")] = None,
    size: Annotated[int | None, typer.Option("--bytes", min=0, help="Of documents; 0: no limit.")] = None,
) -> None:
    """Give a tenant limits of its own, and print those in force."""
    wanted = {
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "documents": documents,
        "bytes": size,
    }
    with opened(context) as accounts:
        quota = accounts.tenants.limit(
            name, **{key: each for key, each in wanted.items() if each is not None}
        )
        accounts.audit.record("tenants.change", HOLDER, object=name, tenant=name)
    print_json(asdict(quota))
