"""What these commands share: the accounts of a home, whose doing it is, and options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.errors import NotFound
from rag.terminal import settings_of

if TYPE_CHECKING:
    from rag.accounts.accounts import Accounts
    from rag.accounts.users import User

HOLDER = "command line"  # who did it, in the audit log
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tenant = Annotated[str, typer.Option(help="The tenant it belongs to.")]
OneTenant = Annotated[str | None, typer.Option("--tenant", help="Of this tenant only.")]
UserName = Annotated[str, typer.Argument(metavar="USER", help="A name that `rag users list` shows.")]


@contextmanager
def opened(context: typer.Context) -> Iterator[Accounts]:
    """The accounts of this run's home, which is made if it is not there."""
    from rag.accounts.accounts import Accounts
    from rag.store.database import Database  # SQLAlchemy takes a while to import

    settings = settings_of(context)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.home, settings.store.database_url)
    try:
        yield Accounts(database, settings.home, settings.limits)
    finally:
        database.close()


def user_of(accounts: Accounts, name: str, tenant: str) -> User:
    """The user of that name. Raises NotFound."""
    found = accounts.users.named(name, tenant)
    if found is None:
        raise NotFound(f"no user {name!r} in tenant {tenant!r}; rag users list shows those there are")
    return found


def print_json(found: dict[str, Any] | Sequence[Any]) -> None:
    """What another program reads."""
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
