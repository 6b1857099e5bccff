"""Progress of a measurement on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES = 10  # in a log, over the whole run


def bar() -> Progress:
    """Progress on standard error, with the time that is left; nothing where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


@contextmanager
def counting(label: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told how much of the whole is done."""
    with bar() as progress:
        task = progress.add_task(label, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            if progress.disable and (done == total or done % max(1, total // LINES) == 0):
                typer.echo(f"{label}: {done} of {total}", err=True)

        yield tell
