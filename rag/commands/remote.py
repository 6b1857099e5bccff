"""`rag ingest`, `status`, `rm`, `jobs`, `doctor` against a server: through its API, with a key of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rag.errors import RagError
from rag.sdk.client import Client
from rag.store.jobs import Job
from rag.terminal import echo_json
from rag.types import DocumentState

FAILED, SOME_QUARANTINED = 1, 3

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `rag jobs` prints it.")]

jobs = typer.Typer(
    help="Runs of ingestion: see, pause, resume, cancel, retry. One may be put before others.",
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands that have another form here than for a home."""
    app.command()(ingest)
    app.command()(status)
    app.command("rm")(remove)
    app.add_typer(jobs, name="jobs")
    app.command()(doctor)


def client_of(context: typer.Context) -> Client:
    """A client of the server at `--url`."""
    return Client(context.obj.url)


def ingest(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Files and folders to send.")],
    collection: Annotated[str, typer.Option(help="Where they belong.")] = "default",
    group: Annotated[list[str] | None, typer.Option(help="Who may read them; repeat for several.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label they get; repeat for several.")] = None,
    as_json: Json = False,
) -> None:
    """Send files, and those in folders, to the server, which indexes them under their names.

    What is gone here stays there: a source that it reads itself is declared in its ingest.toml.
    """
    found = []
    with client_of(context) as client:
        for root, path in files(paths):
            document = client.upload(
                path,
                # A name there has no folders, and two files must not become one document.
                name=" - ".join(path.relative_to(root).parts),
                collection=collection,
                groups=group or (),
                labels=label or (),
            )
            found.append(document)
            if not as_json:
                typer.echo(f"{document.state:<12} {document.title or path.name}  {document.reason}".rstrip())
    if as_json:
        echo_json([asdict(document) for document in found])
    if any(document.state is DocumentState.QUARANTINED for document in found):
        raise typer.Exit(SOME_QUARANTINED)


def files(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Each file with the folder that its name starts from; hidden ones are left out."""
    for path in paths:
        if path.is_file():
            yield path.parent, path
            continue
        for each in sorted(path.rglob("*")):
            if each.is_file() and not any(part.startswith(".") for part in each.relative_to(path).parts):
                yield path, each


def status(context: typer.Context, as_json: Json = False) -> None:
    """How many of the documents that you may read are in which state, and why some are quarantined."""
    with client_of(context) as client:
        documents = client.documents()
    counts = Counter(str(document.state) for document in documents)
    set_aside = [document for document in documents if document.state is DocumentState.QUARANTINED]
    if as_json:
        reasons = [{"id": each.id, "uri": each.uri, "reason": each.reason} for each in set_aside]
        chunks = sum(document.chunks for document in documents)
        echo_json({"states": dict(counts), "chunks": chunks, "quarantined": reasons})
        return
    shown = ", ".join(f"{count} {state}" for state, count in counts.items())
    typer.echo(f"{len(documents)} documents: {shown or 'none that you may read'}")
    for document in set_aside:
        typer.secho(f"  quarantined {document.uri}: {document.reason}", fg="yellow")


def remove(
    context: typer.Context,
    document: Annotated[
        str, typer.Argument(metavar="ID", help="A document's id, as search --json tells it.")
    ],
    as_json: Json = False,
) -> None:
    """Forget a document and its parts: it stops answering at once."""
    with client_of(context) as client:
        receipt = client.delete(document)
    if as_json:
        echo_json(receipt.model_dump(mode="json"))
        return
    for each in receipt.documents:
        typer.echo(f"-{each.uri}  ({each.chunks} chunks)")
    if not receipt.complete:
        typer.secho(f"something is left: {receipt.left}", fg="red", err=True)
        raise typer.Exit(FAILED)


@jobs.callback()
def overview(context: typer.Context, as_json: Json = False) -> None:
    """Runs of ingestion, newest first."""
    if context.invoked_subcommand is not None:
        return
    with client_of(context) as client:
        found = client.jobs()
    if as_json:
        echo_json([asdict(job) for job in found])
        return
    for job in found:
        typer.echo(line_of(job))
    if not found:
        typer.echo("no runs yet")


@jobs.command("show")
def show(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """How far one run is."""
    with client_of(context) as client:
        tell(client.job(job), as_json=as_json)


@jobs.command()
def pause(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Let its documents wait; those in work are finished first."""
    with client_of(context) as client:
        tell(client.pause_job(job), as_json=as_json)


@jobs.command()
def resume(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Let a paused run go on."""
    with client_of(context) as client:
        tell(client.resume_job(job), as_json=as_json)


@jobs.command()
def cancel(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """End a run. What it has published stays."""
    with client_of(context) as client:
        tell(client.cancel_job(job), as_json=as_json)


@jobs.command()
def priority(
    context: typer.Context,
    job: JobId,
    value: Annotated[int, typer.Argument(metavar="PRIORITY", help="A higher one goes first; 0 is usual.")],
    as_json: Json = False,
) -> None:
    """Let what it has still to do go before, or behind, that of others."""
    with client_of(context) as client:
        tell(client.prioritise_job(job, value), as_json=as_json)


@jobs.command()
def retry(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Let the documents that a run has quarantined wait again."""
    with client_of(context) as client:
        tell(client.retry_job(job), as_json=as_json)


def tell(job: Job, *, as_json: bool) -> None:
    """Print one run."""
    if as_json:
        echo_json(asdict(job))
    else:
        typer.echo(line_of(job))


def line_of(job: Job) -> str:
    """One run in one line."""
    done = job.progress.get("documents", 0)
    counts = f"{done} done, {job.waiting} waiting, {job.quarantined} quarantined"
    first = f", priority {job.priority}" if job.priority else ""
    return f"{job.id}  {job.state:<9}  {job.collection}  {counts}{first}  {job.error}".rstrip()


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Look at the server: whether it answers, is ready, and who you are to it.

    Exit status 1 if one is wrong.
    """
    checks = {"ready": Client.ready, "you": Client.whoami, "status": Client.status}
    findings: list[dict[str, object]] = []
    with client_of(context) as client:
        for what, check in checks.items():
            try:
                findings.append({"what": what, "good": True, "detail": str(check(client))})
            except RagError as error:
                findings.append({"what": what, "good": False, "detail": str(error)})
    if as_json:
        echo_json(findings)
    else:
        for each in findings:
            typer.echo(f"{'ok ' if each['good'] else 'BAD'}  {each['what']:<8} {each['detail']}")
    raise typer.Exit(0 if all(each["good"] for each in findings) else FAILED)
