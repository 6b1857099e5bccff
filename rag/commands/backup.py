"""`rag backup create`, `verify`, `restore`: a home copied while it runs, checked, and made anew elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.accounts.commands.opening import HOLDER, Json
from rag.errors import BackupError, IndexUnavailable, NotFound, SettingsError
from rag.settings import Settings
from rag.terminal import echo_json, settings_of

if TYPE_CHECKING:
    from rag.store.copying import Held
    from rag.store.manifest import Manifest
    from rag.store.refill import Refilled

Progress = Callable[[int, int], None]
Source = Annotated[Path, typer.Argument(help="A backup.")]
Digest = Annotated[
    str, typer.Option("--digest", metavar="SHA256", help="What `create` printed and the audit log has.")
]

backup = typer.Typer(no_args_is_help=True, help="A home copied while it runs, checked, and restored.")
ROWS = {"ledger": "rows of the ledger", "audit": "rows of the audit log"}
SECRETS = (
    "the secrets of this home are inside (pepper, ledger key, every document's text): keep it as safe as it"
)
OUTSIDE = (
    "not inside: rag.toml, ingest.toml, the environment, and files that `rag ingest` reads where they lie"
)


def register(app: typer.Typer) -> None:
    """Add the commands about backups."""
    app.add_typer(backup, name="backup")


@backup.command()
def create(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="DEST", help="A folder that is not there yet, or empty.")],
    models: Annotated[
        bool, typer.Option("--models", help="Also the files of models that were added here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy this home as it is at one moment. A server and `rag ingest` may go on meanwhile."""
    from rag.accounts.accounts import Accounts
    from rag.store.backup import create
    from rag.store.database import FILE, Database

    settings = settings_of(context)
    refuse_postgres(settings)
    home = settings.home
    if not (home / FILE).exists():
        raise NotFound(f"there is no home {str(home)!r} to back up; name it with --home")
    with closing(Database(home)) as database, bar("originals", quiet=as_json) as progress:
        audit = Accounts(database, home).audit
        made = create(
            database,
            home,
            target,
            models=models_of(home),
            with_models=models,
            spare_bytes=settings.store.min_free_bytes,
            progress=progress,
        )
        audit.record("backup.create", HOLDER, object=made.digest)
    show(target, made, as_json=as_json)
    if not as_json:
        typer.echo(f"{SECRETS}\n{OUTSIDE}")


@backup.command()
def verify(
    context: typer.Context,
    source: Source,
    expected: Digest = "",
    as_json: Json = False,
) -> None:
    """Read every byte of a backup and hold it against its manifest. Exit status 1 when something is wrong."""
    from rag.store.manifest import verify

    with bar("bytes", quiet=as_json) as progress:
        found = verify(source, progress=progress)
    refuse_another(found, expected, source)
    show(source, found, as_json=as_json)


@backup.command()
def restore(
    context: typer.Context,
    source: Source,
    expected: Digest = "",
    as_json: Json = False,
) -> None:
    """Make a home out of a backup: --home, absent or empty. Its index is made again from the chunks in it.

    Interrupted, the same command goes on. Exit status 1 also when audit log or ledger had been altered.
    """
    from rag.store.manifest import read
    from rag.store.restoring import restore

    settings = settings_of(context)
    refuse_postgres(settings)
    refuse_another(read(source), expected, source)
    with bar("bytes", quiet=as_json) as progress:
        made = restore(source, settings.home, spare_bytes=settings.store.min_free_bytes, progress=progress)
    with bar("chunks", quiet=as_json) as progress:
        done = asyncio.run(fill(context, made, progress))
    if as_json:
        echo_json({"home": str(settings.home), **told(made), **asdict(done)})
    else:
        show(source, made, as_json=False)
        typer.echo(f"restored into {settings.home}; catalog and index agree")
        typer.echo(f"index: {done.index.chunks} chunks embedded again in {done.seconds:.1f} s")
        if done.given_up:
            typer.echo(f"given up: {done.given_up} generations of the index that did not answer")
        typer.echo("\n".join(done.problems) or "audit log and ledger are as they were written")
    raise typer.Exit(1 if done.problems else 0)


@dataclass(frozen=True, slots=True)
class Filled:
    """What was done in a restored home, in so many seconds.

    `given_up`: generations that did not answer. `problems` of audit log and ledger: they are restored as they
    were, since they may be all that is left.
    """

    index: Refilled
    given_up: int
    problems: tuple[str, ...]
    seconds: float


async def fill(context: typer.Context, made: Manifest, progress: Progress) -> Filled:
    """Fill the index of a restored home and look whether all of it is there."""
    from rag.accounts.accounts import Accounts
    from rag.store.indexes import recipe_of
    from rag.store.refill import refill
    from rag.store.restoring import finish, leave_other_generations

    settings, started = settings_of(context), time.monotonic()
    async with context.meta["open_system"](settings, generation=False) as system:
        pipeline, catalog = system.pipeline(), system.catalog
        accounts = Accounts(catalog.database, settings.home, settings.limits)
        problems = accounts.audit.verify().problem, system.accountant.ledger.verify().problem
        given_up = await asyncio.to_thread(leave_other_generations, catalog.database)
        generation = await asyncio.to_thread(pipeline.generations.live, recipe_of(settings))
        vectors = pipeline.indexes.of(generation)
        if settings.store.url and (points := (await vectors.info())["points"]):
            raise IndexUnavailable(
                f"the collection {settings.store.collection!r} at {settings.store.url} holds {points} points "
                "already, maybe of another home: set store.collection to a new name, then restore again"
            )
        done = await refill(catalog, vectors, generation, progress=progress)
        await pipeline.reconcile()
        accounts.audit.record("backup.restore", HOLDER, object=made.digest)
        accounts.audit.export_head()
    finish(settings.home)
    return Filled(done, given_up, tuple(filter(None, problems)), time.monotonic() - started)


def refuse_postgres(settings: Settings) -> None:
    """Raises SettingsError for a catalog in Postgres: its own tools take it at one moment, we cannot."""
    if settings.store.database_url:
        raise SettingsError(
            "the catalog is in Postgres [store.database_url]: back it up with pg_dump or your provider's "
            f"snapshots, then copy {settings.home} but for its folders index, kv and pages, in this order"
        )


def refuse_another(found: Manifest, expected: str, source: Path) -> None:
    """Raises BackupError when a backup is not the one whose digest was written down."""
    if expected and found.digest != expected.lower():
        raise BackupError(
            f"{source} has the manifest {found.digest}, not {expected}: it is another or altered"
        )


def models_of(home: Path) -> list[Held]:
    """The files of the models that were added to a home, as its lock pins them."""
    from rag.models.shelf import Shelf
    from rag.store.copying import Held

    files = [each for entry in Shelf(home).entries().values() for each in entry.files]
    return [Held(f"models/{each.path}", each.size, each.sha256) for each in files]


def show(folder: Path, made: Manifest, *, as_json: bool) -> None:
    """What a backup holds."""
    if as_json:
        echo_json({"backup": str(folder), **told(made)})
        return
    held = ", ".join(f"{count:,} {ROWS.get(name, name)}" for name, count in made.rows.items() if count)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(made.created_at))
    typer.echo(f"{folder}: {len(made.files):,} files, {made.size / 1e6:,.1f} MB, as of {moment}")
    typer.echo(f"holds {held or 'an empty home'}\nmanifest {made.digest}")
    for path in made.missing_models:
        typer.secho(f"note: {path} is not inside; --models takes it along", fg="yellow")
    for path in made.damaged:
        typer.secho(f"note: {path} was damaged in the home and is left out; send it again", fg="yellow")


def told(made: Manifest) -> dict[str, Any]:
    """A manifest for programs, without its list of files."""
    fields = {name: value for name, value in asdict(made).items() if name != "files"}
    return {**fields, "files": len(made.files), "bytes": made.size}


@contextmanager
def bar(label: str, *, quiet: bool) -> Iterator[Progress]:
    """A progress bar on standard error where somebody looks at it."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    with typer.progressbar(length=1000, label=label, file=sys.stderr) as shown:

        def moved(done: int, total: int) -> None:
            shown.update(round(1000 * done / total) - shown.pos if total else 0)

        yield moved
