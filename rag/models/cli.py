"""`rag models`: list, add, pull, verify, rm and quantise the frozen models of a home."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import httpx
import typer

from rag.errors import BadRequest, RagError
from rag.models import hub, intake
from rag.models.intake import Keep, Wish
from rag.models.lockfile import LOCK, Entry, entry, load_lock, locate, read_lock
from rag.models.quantise import KINDS
from rag.models.quantise import quantise as make_smaller
from rag.models.shelf import Shelf
from rag.models.templates import families
from rag.models.verification import verify as check
from rag.settings import Settings
from rag.terminal import echo_json, settings_of

models = typer.Typer(
    invoke_without_command=True, help="The frozen models, and whether their files are right."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="A name that `rag models` lists.")]
NewName = Annotated[str, typer.Option("--name", help="What it is called here; else after its file.")]
Licence = Annotated[str, typer.Option(help="Its licence, where the file does not tell.")]
Template = Annotated[
    str, typer.Option(help=f"Its chat template, where it is not recognised: {', '.join(families())}.")
]


def register(app: typer.Typer) -> None:
    """Add the commands that look after models."""
    app.add_typer(models, name="models")


@models.callback()
def default(context: typer.Context, as_json: Json = False) -> None:
    """Without a command: list."""
    if context.invoked_subcommand is None:
        show(context, load_lock(settings_of(context).home).values(), as_json=as_json)


@models.command("list")
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """Every model and whether its file is the pinned one. Exit status 1 if one is not."""
    show(context, load_lock(settings_of(context).home).values(), as_json=as_json)


@models.command()
def verify(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="One model only.")] = "",
    as_json: Json = False,
) -> None:
    """Read the files again and compare their digests. Exit status 1 with both digests where they differ."""
    home = settings_of(context).home
    show(context, [entry(name, home)] if name else load_lock(home).values(), as_json=as_json)


@models.command()
def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A GGUF file on this machine.")],
    name: NewName = "",
    licence: Licence = "",
    template: Template = "",
    link: Annotated[bool, typer.Option("--link/--copy", help="Leave the file where it is.")] = False,
) -> None:
    """Enter a local GGUF file: it is looked at, copied (or linked to) and pinned by its digest."""
    settings, keep = settings_of(context), Keep.LINK if link else Keep.COPY
    tell(intake.add(Shelf(settings.home), path, Wish(name, licence, template), keep=keep), settings)


@models.command()
def pull(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="ORG/REPO/FILE|URL", help="A file of a hub, or its address.")
    ],
    sha256: Annotated[str, typer.Option(help="The digest that the file must have.")] = "",
    source: Annotated[str, typer.Option("--from", help="Address of the hub or mirror [models.hub].")] = "",
    name: NewName = "",
    licence: Licence = "",
    template: Template = "",
) -> None:
    """Fetch a GGUF file whose digest you know. Run it again to go on after a broken transfer."""
    settings = settings_of(context)
    place = hub.remote(what, source or settings.models.hub)
    with httpx.Client(timeout=hub.TIMEOUT) as client:
        if not sha256:
            raise BadRequest(unpinned(place, hub.offered(client, place)))
        wish = Wish(name, licence, template)
        with typer.progressbar(length=100, label=place.name) as bar:

            def progress(done: int, size: int) -> None:
                bar.update(round(100 * done / size) - bar.pos if size else 0)

            made = hub.pull(
                Shelf(settings.home), place, sha256.lower(), wish, client=client, progress=progress
            )
    tell(made, settings)


@models.command()
def rm(
    context: typer.Context,
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Even the one that answers now.")] = False,
) -> None:
    """Take an added model out, and delete its files unless another model has them too."""
    settings, shelf = settings_of(context), Shelf(settings_of(context).home)
    if name in read_lock(LOCK) and name not in shelf.entries():
        raise BadRequest(f"{name!r} comes with Permafrost and stays; only added models can be removed")
    if (used := uses(settings, name)) and not force:
        raise BadRequest(f"{name!r} answers now ({', '.join(used)}): set another first, or add --force")
    removed = shelf.remove(name)
    typer.echo(f"-{name}  ({len(removed)} files deleted)")


@models.command()
def quantise(
    context: typer.Context,
    name: Name,
    to: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")],
    new: Annotated[str, typer.Option("--name", help="What the result is called.")] = "",
) -> None:
    """Make a smaller model of one that is here, with llama.cpp's own quantiser."""
    settings = settings_of(context)
    source = entry(name, settings.home)
    path = locate(source, settings.home)
    check(path, source)
    made = make_smaller(Shelf(settings.home), source, path, to, name=new, threads=settings.engine.threads)
    tell(made, settings)


def show(context: typer.Context, entries: Iterable[Entry], *, as_json: bool) -> None:
    """Print the entries with a verdict each, and end the command."""
    wrong, found = 0, []
    for one in entries:
        path, reason = "", ""
        try:
            path = str(locate(one, settings_of(context).home))
            check(Path(path), one)
        except RagError as error:
            wrong, reason = wrong + 1, str(error)
        about = f"{one.kind}, {one.quantisation}, {one.size / 1e6:.0f} MB, {one.licence}"
        told = ("name", "kind", "quantisation", "size", "licence", "sha256", "source")
        found.append({**{name: getattr(one, name) for name in told}, "path": path, "problem": reason})
        if not as_json:
            verdict = reason or f"verified  {path}"
            typer.echo(f"{one.name}  ({about})\n  sha256 {one.sha256}\n  {verdict}")
    if as_json:
        echo_json(found)
    raise typer.Exit(1 if wrong else 0)


def uses(settings: Settings, name: str) -> list[str]:
    """The settings by which a model answers."""
    tiers = {f"tiers.{tier}.model": one.model for tier, one in settings.tiers.items() if one.kind == "local"}
    named = {"engine.model": settings.engine.model, **tiers}
    return [place for place, model in named.items() if model == name]


def tell(made: Entry, settings: Settings) -> None:
    """What was entered, and how to answer with it."""
    typer.echo(f"+{made.name}  ({made.quantisation}, {made.size / 1e6:.0f} MB, {made.licence})")
    typer.echo(f"  sha256 {made.sha256}\n  to answer with it: RAG_ENGINE_MODEL={made.name}")


def unpinned(place: hub.Remote, stated: str) -> str:
    """Why nothing is fetched without a digest, and what the hub says it would be."""
    if not stated:
        return f"{place.url} states no SHA-256; get it from where you trust, and add --sha256 HEX"
    return (
        f"{place.url} states sha256 {stated}; compare it with what the model's maker publishes, "
        f"then run again with --sha256 {stated}"
    )
