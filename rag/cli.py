"""The command line: which commands there are. Each is imported when it is run, so that help comes at once.

Exit status 0: done; 1: an error, told in one sentence; 2: wrong usage; 3: done, but some documents are
quarantined or left out; 130: interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import rag
from rag.errors import RagError
from rag.silence import silence


class Reach(Enum):
    """What a command acts on."""

    MACHINE = "this machine"
    HOME = "a home on this machine"
    ANY = "a home, or the server at --url"


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as help lists it: `module` has `register(app)`; `remote` is that module for a server.

    `help` is how its own help begins. `more`: a module that registers further commands below it.
    """

    module: str
    help: str
    reach: Reach = Reach.HOME
    remote: str = ""
    more: str = ""


ACCOUNTS = "rag.accounts.cli"
ASKING, SERVING, REMOTE = "rag.commands.asking", "rag.commands.serving", "rag.commands.remote"
COMMANDS = {
    "serve": Listed(SERVING, "Answer over HTTP: chat page, OpenAI-compatible API, search.", Reach.MACHINE),
    "ask": Listed(ASKING, "Answer questions with citations.", Reach.ANY),
    "chat": Listed(ASKING, "Ask in turns: what was said before is understood.", Reach.ANY),
    "search": Listed(ASKING, "Passages for a query, best first, with the score of each leg.", Reach.ANY),
    "ingest": Listed(
        "ingest.cli",
        "Bring the index up to date with files, folders and declared sources: add, replace, remove what is "
        "gone.",
        Reach.ANY,
        REMOTE,
    ),
    "status": Listed(
        "ingest.cli",
        "How many documents are in which state, and why some are quarantined.",
        Reach.ANY,
        REMOTE,
    ),
    "rm": Listed("ingest.cli", "Forget documents: they stop answering at once.", Reach.ANY, REMOTE),
    "jobs": Listed("ingest.cli", "Runs of ingestion: see, pause, resume, cancel, retry.", Reach.ANY, REMOTE),
    "duplicates": Listed(
        "ingest.cli", "Documents that say nearly the same: copies, and versions of one another."
    ),
    "reindex": Listed("ingest.cli", "Index everything anew with today's settings."),
    "models": Listed(
        "rag.models.cli", "The frozen models, and whether their files are right.", Reach.MACHINE
    ),
    "eval": Listed(
        "rag.evaluation.cli", "How good search and answers are here, and what may be used.", Reach.ANY
    ),
    "keys": Listed(ACCOUNTS, "Keys: made and shown once, listed, revoked at once."),
    "users": Listed(ACCOUNTS, "Users: listed, given another role, suspended, let in again."),
    "groups": Listed(ACCOUNTS, "Groups: what documents are shared with, and who is in them."),
    "tenants": Listed(ACCOUNTS, "Tenants: what each may use."),
    "audit": Listed(
        ACCOUNTS,
        "The audit log: who did what to what, and that nobody edited it.",
        more="rag.cost.models_cli",
    ),
    "backup": Listed("rag.commands.backup", "A home copied while it runs, checked, and restored."),
    "cost": Listed("rag.cost.cli", "What answers cost here, and who may use how much."),
    "mcp": Listed(SERVING, "Serve agents over a pipe (MCP): search, ask, open a document.", Reach.ANY),
    "doctor": Listed(
        SERVING,
        "Look at Python, CPU, disk, models, the llama.cpp build and the index.",
        Reach.ANY,
        REMOTE,
    ),
}


class Commands(TyperGroup):
    """The commands of COMMANDS: listed without an import, imported when one is run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=listed.help) for name, listed in COMMANDS.items()}

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        return super().parse_args(context, fronted(arguments))

    def resolve_command(self, context: Any, arguments: list[str]) -> Any:
        name = arguments[0]
        if name in COMMANDS:
            self.commands[name] = loaded(name, url=self.address(context, name))
        return super().resolve_command(context, arguments)

    def address(self, context: typer.Context, name: str) -> str:
        """The server that a command is for; empty: this machine."""
        url: str = context.params.get("url") or ""
        reach = COMMANDS[name].reach
        given = context.get_parameter_source("url")
        is_wish = given is not None and given.name == "COMMANDLINE"
        if not url or (context.params.get("home") and not is_wish):
            return ""
        if context.params.get("home"):
            context.fail("--url and --home are two places: give one")
        if reach is Reach.HOME or (reach is Reach.MACHINE and is_wish):
            context.fail(
                f"rag {name} acts on {reach.value}: run it there, without --url"
                + ("" if is_wish else f" (RAG_URL is {url}; --home DIR goes before it)")
            )
        return "" if reach is Reach.MACHINE else url


def fronted(arguments: Sequence[str]) -> list[str]:
    """What is of every command may stand behind one as well: here it comes to the front.

    >>> fronted(["ask", "Who pays?", "--home", "kb", "--", "--url"])
    ['--home', 'kb', 'ask', 'Who pays?', '--', '--url']
    """
    front, others, waiting = [], [], iter(arguments)
    for each in waiting:
        name, has_value, _ = each.partition("=")
        if each == "--":
            others += [each, *waiting]
        elif each == "--debug" or (name in ("--home", "--url") and has_value):
            front.append(each)
        elif name in ("--home", "--url"):
            value = next(waiting, None)
            if value is None:
                return [each]  # which asks for its value
            front += [each, value]
        else:
            others.append(each)
    return [*front, *others]


def loaded(name: str, *, url: str = "") -> Any:
    """A command itself, of the form that acts on the server at `url` if there is one."""
    listed = COMMANDS[name]
    command = registered(listed.remote if url and listed.remote else listed.module)[name]
    if listed.more:
        assert isinstance(command, TyperGroup)
        command.commands.update(registered(listed.more))
    return command


def registered(module: str) -> dict[str, Any]:
    """What a module registers, by name."""
    area = typer.Typer(rich_markup_mode=None)
    importlib.import_module(module).register(area)
    return dict(typer.main.get_group(area).commands)


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Cited answers from your own documents.",
    epilog="Exit status: 0 done, 1 error, 2 wrong usage, 3 some documents quarantined or left out, "
    "130 interrupted.",
)


@dataclass
class Run:
    """What holds for one run of the command. `url`: the server it is for; empty: the home."""

    debug: bool = False
    url: str = ""


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option("--home", help="Folder of database, index and caches [setting home].")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", envvar="RAG_URL", help="A server to ask instead; its key in RAG_API_KEY."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of every command."""
    run = context.ensure_object(Run)
    run.debug = debug
    if version:
        typer.echo(f"permafrost-rag {rag.__version__}")
        raise typer.Exit
    from rag.settings import load

    context.meta["settings"] = load(home=home)
    context.meta["open_system"] = opened_system
    if context.invoked_subcommand in COMMANDS and isinstance(context.command, Commands):
        run.url = context.command.address(context, context.invoked_subcommand)


def opened_system(*arguments: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
    """`open_system`, imported when a command needs it."""
    from rag.assembly import open_system

    return open_system(*arguments, **options)


def main() -> None:
    """The `rag` command."""
    silence()
    run = Run()
    try:
        app(obj=run)
    except RagError as error:
        if run.debug:
            raise
        typer.secho(f"rag: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
