"""`rag cost budgets`: list, set, remove and override."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from rag.cost.accountant import Accountant
from rag.cost.budget import Budget, OnLimit, Scope, Span, Unit, figure, unit_name
from rag.store.database import Database
from rag.terminal import settings_of
from rag.types import Principal

budgets = typer.Typer(invoke_without_command=True, help="Who may use how much, and what is left of it.")

BudgetId = Annotated[str, typer.Argument(help="As `rag cost budgets` lists it.")]


@contextmanager
def books(context: typer.Context) -> Iterator[Accountant]:
    """The books of the home."""
    settings = settings_of(context)
    database = Database(settings.home, settings.store.database_url)
    try:
        yield Accountant(database, settings)
    finally:
        database.close()


@budgets.callback()
def list_budgets(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Every budget with what is spent, reserved and left of it now."""
    if context.invoked_subcommand is not None:
        return
    with books(context) as accountant:
        found, currency = accountant.budgets.standing(), accountant.rates.currency
    if as_json:
        told = [asdict(each) | {"id": each.budget.id, "left": each.left} for each in found]
        typer.echo(json.dumps(told, indent=2))
        return
    for each in found:
        subject = f" ({each.subject})" if each.budget.subject == "*" and each.subject != "*" else ""
        typer.echo(
            f"{each.budget.id}{subject}  {each.start}: {figure(each.spent)} of {figure(each.limit)} "
            f"{unit_name(each.budget.unit, currency)} spent, {figure(each.reserved)} reserved, "
            f"{figure(each.left)} left"
        )
    if not found:
        typer.echo("no budgets: write [[budgets]] into rag.toml, or `rag cost budgets set`")


@budgets.command("set")
def set_budget(
    context: typer.Context,
    scope: Annotated[Scope, typer.Argument(help="Whose.")],
    subject: Annotated[str, typer.Argument(help="Its name; '*': each one's.")],
    limit: Annotated[float, typer.Argument(help="How much.")],
    unit: Annotated[Unit, typer.Option(help="Of what.")] = Unit.MONEY,
    period: Annotated[Span, typer.Option(help="In a day or a month.")] = Span.MONTH,
    tenant: Annotated[str, typer.Option(help="Within this tenant.")] = "default",
    on_limit: Annotated[OnLimit, typer.Option(help="Give less, or nothing.")] = OnLimit.DEGRADE,
) -> None:
    """Set a budget, in the place of one of the same scope, subject, period and unit."""
    made = Budget(tenant, scope, subject, period, unit, limit, on_limit=on_limit)
    with books(context) as accountant:
        accountant.set_budget(Principal(), made)
        currency = accountant.rates.currency
    typer.echo(f"+{made.id}  {figure(limit)} {unit_name(unit, currency)} a {period}")


@budgets.command("rm")
def remove_budget(context: typer.Context, budget: BudgetId) -> None:
    """Remove a budget that was set here; one of rag.toml comes back."""
    with books(context) as accountant:
        accountant.remove_budget(Principal(), budget)
    typer.echo(f"-{budget}")


@budgets.command()
def override(
    context: typer.Context,
    budget: BudgetId,
    extra: Annotated[float, typer.Argument(help="How much more.")],
    hours: Annotated[float, typer.Option(min=0.01, max=8784, help="For how long.")],
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it.")],
) -> None:
    """Allow more of a budget for some hours. It never opens what egress policy closed."""
    with books(context) as accountant:
        until = accountant.clock() + hours * 3600
        accountant.override(Principal(), budget, extra=extra, until=until, reason=reason)
    typer.echo(
        f"{budget}: {figure(extra)} more until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
    )
