"""`rag models`: list, add, pull, verify, rm and quantise the frozen models of a home."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from rag.errors import BadRequest, RagError
from rag.models import hub, intake
from rag.models.hub import Progress
from rag.models.intake import Keep, Wish
from rag.models.lockfile import LOCK, Entry, entry, load_lock, locate, read_lock
from rag.models.quantise import KINDS
from rag.models.quantise import quantise as make_smaller
from rag.models.repository import is_repository, listed, pull_folder
from rag.models.shelf import Shelf
from rag.models.templates import families
from rag.models.verification import verify as check
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

Graphs = Annotated[
    bool, typer.Option("--graphs", help="Of an encoder, also what ONNX Runtime and OpenVINO compute.")
]
# The setting that names a model of a kind, and what is to be done after a change of it.
USED_BY = {
    "generator": ("engine.model", ""),
    "embedder": ("embedding.model", ", then rag reindex"),
    "sparse-encoder": ("embedding.sparse", ", then rag reindex"),
    "token-encoder": ("embedding.late_interaction", ", then rag reindex"),
    "cross-encoder": ("retrieval.reranker", ""),
}


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
    path: Annotated[Path, typer.Argument(help="A GGUF file, or the folder of an encoder.")],
    name: NewName = "",
    licence: Licence = "",
    template: Template = "",
    graphs: Graphs = False,
    link: Annotated[bool, typer.Option("--link/--copy", help="Leave the file where it is.")] = False,
) -> None:
    """Enter a local GGUF file, or the folder of an embedder, cross-encoder, SPLADE or ColBERT: it is looked
    at, copied (or linked to) and pinned by its digests."""
    settings, keep = settings_of(context), Keep.LINK if link else Keep.COPY
    tell(intake.add(Shelf(settings.home), path, Wish(name, licence, template, graphs), keep=keep))


@models.command()
def pull(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="ORG/REPO[/FILE]|URL",
            help="A GGUF file of a hub, its address, or an encoder's repository.",
        ),
    ],
    sha256: Annotated[str, typer.Option(help="The digest that the file, or the weights, must have.")] = "",
    source: Annotated[str, typer.Option("--from", help="Address of the hub or mirror [models.hub].")] = "",
    name: NewName = "",
    licence: Licence = "",
    template: Template = "",
    revision: Annotated[str, typer.Option(help="Of a repository: branch, tag or commit.")] = "main",
    graphs: Graphs = False,
) -> None:
    """Fetch a GGUF file, or the repository of an encoder, whose digest you know. Run it again to go on after
    a broken transfer."""
    settings = settings_of(context)
    address, wish = source or settings.models.hub, Wish(name, licence, template, graphs)
    shelf, sha256 = Shelf(settings.home), sha256.lower()
    with httpx.Client(timeout=hub.TIMEOUT) as client:
        if is_repository(what):
            found = listed(client, what, address, revision=revision, graphs=graphs)
            if not sha256:
                raise BadRequest(unpinned(found.url(found.weights.path), found.weights.sha256))
            with told(what) as progress:
                made = pull_folder(shelf, found, sha256, wish, client=client, progress=progress)
        else:
            place = hub.remote(what, address)
            if not sha256:
                raise BadRequest(unpinned(place.url, hub.offered(client, place)))
            with told(place.name) as progress:
                made = hub.pull(shelf, place, sha256, wish, client=client, progress=progress)
    tell(made)


@contextmanager
def told(what: str) -> Iterator[Progress]:
    """A bar of how much has arrived."""
    with typer.progressbar(length=100, label=what) as bar:
        yield lambda done, size: bar.update(round(100 * done / size) - bar.pos if size else 0)


@models.command()
def rm(
    context: typer.Context,
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Even one that is in use.")] = False,
) -> None:
    """Take an added model out, and delete its files unless another model has them too."""
    settings, shelf = settings_of(context), Shelf(settings_of(context).home)
    if name in read_lock(LOCK) and name not in shelf.entries():
        raise BadRequest(f"{name!r} comes with Permafrost and stays; only added models can be removed")
    used = [setting for setting, model in settings.named_models().items() if model == name]
    if used and not force:
        raise BadRequest(f"{name!r} is in use ({', '.join(used)}): set another first, or add --force")
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
    tell(made)


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


def tell(made: Entry) -> None:
    """What was entered, and how to use it."""
    about = [made.quantisation, f"{made.size / 1e6:.0f} MB", made.licence, *made.languages[:5]]
    typer.echo(f"+{made.name}  ({', '.join(about)})\n  sha256 {made.sha256}")
    setting, after = USED_BY[made.kind]
    typer.echo(f"  to use it: RAG_{setting.upper().replace('.', '_', 1)}={made.name}{after}")


def unpinned(url: str, stated: str) -> str:
    """Why nothing is fetched without a digest, and what the hub says it would be."""
    if not stated:
        return f"{url} states no SHA-256; get it from where you trust, and add --sha256 HEX"
    return (
        f"{url} states sha256 {stated}; compare it with what the model's maker publishes, "
        f"then run again with --sha256 {stated}"
    )
