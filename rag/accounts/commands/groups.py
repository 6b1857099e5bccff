"""`rag groups`: what documents are shared with, and who is in them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rag.accounts.commands.opening import (
    HOLDER,
    Json,
    OneTenant,
    Tenant,
    UserName,
    opened,
    print_json,
    user_of,
)
from rag.errors import NotFound

groups = typer.Typer(no_args_is_help=True, help="Groups: what documents are shared with, and who is in them.")
GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="What documents are shared with.")]


@groups.command("list")
def list_groups(context: typer.Context, tenant: OneTenant = None, as_json: Json = False) -> None:
    """Every group with its members."""
    with opened(context) as accounts:
        found = accounts.groups.all(tenant)
    if as_json:
        print_json([asdict(group) for group in found])
        return
    for group in found:
        names = ", ".join(member.name for member in group.members)
        typer.echo(f"{group.tenant}/{group.name}  {names or 'nobody'}")


@groups.command("add")
def add_member(context: typer.Context, name: GroupName, user: UserName, tenant: Tenant = "default") -> None:
    """Put a user into a group, which is made if it is not there."""
    with opened(context) as accounts:
        accounts.groups.put_in(user_of(accounts, user, tenant).id, tenant, [name])
        accounts.audit.record("groups.change", HOLDER, object=f"+{user} {name}", tenant=tenant)
    typer.echo(f"{user} is in {name}")


@groups.command("remove")
def remove_member(
    context: typer.Context, name: GroupName, user: UserName, tenant: Tenant = "default"
) -> None:
    """Take a user out of a group; what it alone let him read is shut at his next request."""
    with opened(context) as accounts:
        group = accounts.groups.named(name, tenant)
        if group is None:
            raise NotFound(f"no group {name!r} in tenant {tenant!r}; rag groups list shows those there are")
        accounts.groups.change(group.id, tenant, remove=[user_of(accounts, user, tenant).id])
        accounts.audit.record("groups.change", HOLDER, object=f"-{user} {name}", tenant=tenant)
    typer.echo(f"{user} is not in {name}")
