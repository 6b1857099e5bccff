"""What the feeding commands share: the home they open, and the option to print JSON."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def opened(context: typer.Context) -> Any:
    """The system of this run; the program that registers these commands says how it is opened."""
    return context.meta["open_system"](context.meta["settings"], generation=False, linger=True)
