"""`rag users`: listed, given another role, suspended, let in again."""

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
from rag.accounts.roles import Role, role

users = typer.Typer(no_args_is_help=True, help="Users: listed, given another role, suspended, let in again.")


@users.command("list")
def list_users(context: typer.Context, tenant: OneTenant = None, as_json: Json = False) -> None:
    """Everybody, with role, groups and how they sign in."""
    with opened(context) as accounts:
        found = [(user, accounts.users.groups(user.id)) for user in accounts.users.all(tenant)]
    if as_json:
        print_json([{**asdict(user), "groups": within} for user, within in found])
        return
    for user, within in found:
        state = "  suspended" if user.suspended else ""
        typer.echo(f"{user.tenant}/{user.name}  {user.role}  {', '.join(within) or 'in no group'}{state}")


@users.command()
def suspend(context: typer.Context, name: UserName, tenant: Tenant = "default") -> None:
    """Refuse a user from the next request on, whatever key or session he shows."""
    with opened(context) as accounts:
        accounts.users.suspend(user_of(accounts, name, tenant).id, tenant)
        accounts.audit.record("users.suspend", HOLDER, object=name, tenant=tenant)
    typer.echo(f"{name} is refused from now on")


@users.command()
def resume(context: typer.Context, name: UserName, tenant: Tenant = "default") -> None:
    """Let a suspended user in again."""
    with opened(context) as accounts:
        accounts.users.resume(user_of(accounts, name, tenant).id, tenant)
        accounts.audit.record("users.resume", HOLDER, object=name, tenant=tenant)
    typer.echo(f"{name} is let in again")


@users.command("role")
def give_role(
    context: typer.Context,
    name: UserName,
    to: Annotated[str, typer.Argument(metavar="ROLE", help=", ".join(Role))],
    tenant: Tenant = "default",
) -> None:
    """Give a user another role."""
    with opened(context) as accounts:
        accounts.users.change(user_of(accounts, name, tenant).id, tenant, role=role(to).value)
        accounts.audit.record("users.change", HOLDER, object=name, tenant=tenant)
    typer.echo(f"{name} is {to} now")
