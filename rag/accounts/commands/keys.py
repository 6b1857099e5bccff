"""`rag keys`: made and printed once, listed, revoked at once."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from rag.accounts.commands.opening import HOLDER, Json, OneTenant, Tenant, opened, print_json
from rag.accounts.roles import Role, rights, role
from rag.types import Right

keys = typer.Typer(no_args_is_help=True, help="Keys: made and shown once, listed, revoked at once.")
DAY_S = 86_400


@keys.command("create")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for, in your words.")],
    user: Annotated[str, typer.Option(help="Whose it is; made if need be.")],
    as_role: Annotated[
        str | None, typer.Option("--role", help=f"Of a new user: {', '.join(Role)} [reader].")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="A new user joins it [everyone]; for another one it is all that the key reads."),
    ] = None,
    right: Annotated[
        list[str] | None, typer.Option(help=f"All that the key may do: {', '.join(Right)}.")
    ] = None,
    collection: Annotated[list[str] | None, typer.Option(help="All that the key may see.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="How long it works.")] = None,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once."""
    from rag.accounts.keys import Limits

    with opened(context) as accounts:
        known = accounts.users.named(user, tenant)
        limits = Limits(
            rights=None if right is None else rights(right),
            groups=group if known else None,
            collections=collection,
            expires_at=None if days is None else time.time() + days * DAY_S,
        )
        wanted = role(as_role) if as_role else None
        key, shown = accounts.issue(user, tenant, name, role=wanted, groups=tuple(group or ()), limits=limits)
        accounts.audit.record("keys.create", HOLDER, object=key.id, tenant=tenant)
    if as_json:
        print_json({"key": shown, "about": asdict(key)})
        return
    typer.echo(shown)
    typer.secho("keep it now: it cannot be shown again", fg="yellow", err=True)


@keys.command("list")
def list_keys(context: typer.Context, tenant: OneTenant = None, as_json: Json = False) -> None:
    """Every key that was ever made, without its secret."""
    with opened(context) as accounts:
        found = accounts.keys.all(tenant)
    if as_json:
        print_json([asdict(key) for key in found])
        return
    if not found:
        typer.secho("no key yet: rag keys create NAME --user USER makes one", fg="yellow", err=True)
    for key in found:
        state = "revoked" if key.revoked_at else ("expired" if past(key.expires_at) else "works")
        used = f"used {day(key.used_at)}" if key.used_at else "never used"
        typer.echo(
            f"{key.id}  {state:8} {key.tenant}/{key.user}  {key.name}  (made {day(key.created_at)}, {used})"
        )


@keys.command("revoke")
def revoke_key(
    context: typer.Context, key_id: Annotated[str, typer.Argument(metavar="ID", help="Its public part.")]
) -> None:
    """Refuse a key from the next request on."""
    with opened(context) as accounts:
        key = accounts.keys.revoke(key_id)
        accounts.audit.record("keys.delete", HOLDER, object=key.id, tenant=key.tenant)
    typer.echo(f"{key.id} of {key.user} is refused from now on")


def past(moment: float | None) -> bool:
    return moment is not None and moment <= time.time()


def day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment))
