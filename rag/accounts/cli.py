"""`rag keys`, `users`, `groups`, `tenants` and `audit`: they act on the home's database directly."""

from __future__ import annotations

import typer

from rag.accounts.commands.audit import audit
from rag.accounts.commands.groups import groups
from rag.accounts.commands.keys import keys
from rag.accounts.commands.tenants import tenants
from rag.accounts.commands.users import users


def register(app: typer.Typer) -> None:
    """Add the commands that look after accounts, and those of the audit log."""
    app.add_typer(keys, name="keys")
    app.add_typer(users, name="users")
    app.add_typer(groups, name="groups")
    app.add_typer(tenants, name="tenants")
    app.add_typer(audit, name="audit")
