"""`rag cost`: what answers cost here and elsewhere, and whether the books are as they were written."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from rag.cost.break_even import MeanQuestion
from rag.cost.budget_cli import books, budgets
from rag.cost.constants import constants
from rag.cost.detection import ASKED, detect, section
from rag.cost.ledger import Head
from rag.cost.rates import rates_of
from rag.cost.report import mean_question, report
from rag.cost.report_table import table_csv
from rag.cost.summary import report_json, told
from rag.cost.usage import By
from rag.cost.what_if import Change, outlook
from rag.errors import BadRequest
from rag.terminal import money, settings_of

cost = typer.Typer(no_args_is_help=True, help="What answers cost here, and who may use how much.")

MOST = 1e9
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands about money, energy and carbon."""
    cost.add_typer(budgets, name="budgets")
    app.add_typer(cost, name="cost")


@cost.command("report")
def show_report(
    context: typer.Context,
    by: Annotated[By, typer.Option(help="What to add up by.")] = By.TIER,
    since: Annotated[str, typer.Option(help="A day (2026-11-01), or so many days (30d).")] = "30d",
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table here.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts here.")] = None,
    as_json: Json = False,
) -> None:
    """Cost, energy and carbon: of the machine, by group, and beside the price of APIs."""
    with books(context) as accountant:
        made = report(accountant, since=moment(since), by=by)
    if csv:
        save(csv, table_csv(made))
    if html:
        from rag.cost.report_page import page

        save(html, page(made))
    typer.echo(json.dumps(report_json(made), indent=2) if as_json else told(made))


@cost.command()
def profile(context: typer.Context, as_json: Json = False) -> None:
    """Detect this machine and print the [hardware] section for rag.toml; asks for the rest on a terminal."""
    found = detect()
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"busy_watts": found.busy_watts}, indent=2))
        return
    answers: dict[str, float | str] = {}
    if typer.get_text_stream("stdin").isatty() and typer.get_text_stream("stdout").isatty():
        for setting, name in ASKED.items():
            figure = constants()[name]
            if given := asked(f"{setting}, {figure.unit}; empty: {figure.value:g}"):
                answers[setting] = number(setting, given)
        if given := asked("grid, two letters of its country; empty: world"):
            constants().grid(given)
            answers["grid"] = given.lower()
    typer.echo(section(found, answers))


@cost.command()
def verify(
    context: typer.Context,
    head: Annotated[str, typer.Option(help="A head printed before, NUMBER:SEAL: it must still hold.")] = "",
    as_json: Json = False,
) -> None:
    """Walk over the ledger's seals. Exit status 1 if a row was changed, removed or made up."""
    with books(context) as accountant:
        found = accountant.ledger.verify(known_head(head) if head else None)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"head": str(found.head)}, indent=2))
    elif found.broken is None:
        typer.echo(f"{found.rows} rows hold. Keep this head elsewhere:\n{found.head}")
    else:
        typer.echo(f"row {found.broken}: {found.problem}; the {found.rows} rows before it hold")
    raise typer.Exit(0 if found.broken is None else 1)


@cost.command("what-if")
def what_if(
    context: typer.Context,
    utilisation: Annotated[
        float | None, typer.Option(min=0.0001, max=1, help="Part of the time that it works.")
    ] = None,
    queries_per_hour: Annotated[
        float | None, typer.Option(min=0.0001, max=MOST, help="Questions; else as many as now.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, max=MOST, help="Of the machine, less resale.")] = None,
    life: Annotated[float | None, typer.Option(min=0.1, max=100, help="Years of depreciation.")] = None,
    price_kwh: Annotated[float | None, typer.Option(min=0, max=MOST, help="Of electricity.")] = None,
    pue: Annotated[float | None, typer.Option(min=1, max=10, help="Power of the room over it.")] = None,
    idle_watts: Annotated[float | None, typer.Option(min=0, max=MOST, help="With nothing to do.")] = None,
    busy_watts: Annotated[float | None, typer.Option(min=0, max=MOST, help="At full load.")] = None,
    grid_g_kwh: Annotated[float | None, typer.Option(min=0, max=MOST, help="gCO2e of one kWh.")] = None,
    speed: Annotated[
        float, typer.Option(min=0.001, max=1e6, help="How many times faster the machine is.")
    ] = 1.0,
    seconds: Annotated[
        float, typer.Option(min=0, max=86_400, help="Machine-seconds of a question; else as measured.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """What a question would cost on another machine, at another load, for another price of electricity."""
    with books(context) as accountant:
        made = report(accountant, since=0.0)
    if not made.answered and not seconds:
        raise BadRequest("nothing was asked here yet: say with --seconds how long a question takes")
    mean = MeanQuestion(0, 0, seconds) if seconds else mean_question(made)
    asked = Change(
        queries_per_hour, utilisation, price, life, price_kwh, pue, idle_watts, busy_watts, grid_g_kwh, speed
    )
    found = outlook(mean, made.rates, asked, per_hour=made.answered / made.hours)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    typer.echo(
        f"{money(found.per_query)} {found.currency} a question: {found.queries_per_hour:,.4g} an hour on "
        f"{found.machines:,} machine(s), {found.utilisation:.2%} busy, {money(found.per_hour)} "
        f"{found.currency} an hour\n{money(found.energy_wh)} Wh and {money(found.co2e_g)} gCO2e a question, "
        "idle time included"
    )


@cost.command("decisions")
def show_decisions(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="A day, 2026-11-01, or days back, 30d.")] = "3650d",
) -> None:
    """Print what the router decided, and what became of it, as JSON lines for `rag eval routing`."""
    from rag.cost.decisions import decisions

    with books(context) as accountant:
        lines = list(decisions(accountant.database, since=moment(since)))
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo("no question since then; the router decides once something is asked", err=True)


@cost.command("trade-off")
def trade_off(
    context: typer.Context,
    inter_token_ms: Annotated[
        float, typer.Option(min=1, help="Most between two tokens of a reader.")
    ] = math.inf,
    first_token_s: Annotated[float, typer.Option(min=0.01, help="Most until a newcomer's first.")] = math.inf,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of a prompt that are not cached.")] = 1000,
    answer: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 96,
    as_json: Json = False,
) -> None:
    """What more readers at once buy and cost, by this machine's own measurements, and which setting fits."""
    from rag.cost.trade_off import Load, cheapest, choices
    from rag.doctor import measured

    settings = settings_of(context)
    load = Load(prompt, answer, settings.engine.step_target_ms)
    rates = rates_of(settings.hardware, settings.cost)
    found = choices(
        measured(settings), rates, load, inter_token_ms=inter_token_ms, first_token_s=first_token_s
    )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    typer.echo("readers  ms a token  first token  tokens/s  answers/h  1,000 tokens")
    for each in found:
        typer.echo(
            f"{each.slots:7}  {each.inter_token_ms:10.0f}  {each.first_token_s:9.1f} s"
            f"  {each.tokens_per_s:8.1f}  {each.answers_per_hour:9.0f}"
            f"  {money(each.per_1000_tokens)} {rates.currency}"
            f"{'' if each.meets else '  misses the target'}"
        )
    best = cheapest(found)
    typer.echo(
        f"the cheapest that meets the targets: [engine] slots = {best.slots}"
        if best
        else "nothing measured here meets the targets: a smaller model, more cores, or other targets"
    )


def moment(text: str) -> float:
    """The UTC midnight that a day or a number of days back begins with. Raises BadRequest, also for a day
    that is still to come."""
    try:
        if text.endswith("d"):
            day = datetime.fromtimestamp(time.time(), UTC) - timedelta(days=int(text[:-1]))
        else:
            day = datetime.strptime(text, "%Y-%m-%d")
    except (ValueError, OverflowError):
        raise BadRequest(f"--since {text!r} is no day; write 2026-11-01, or 30d for thirty days") from None
    at = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC).timestamp()
    if at > time.time():
        raise BadRequest(f"--since {text!r} is still to come; write a day that has begun, as 2026-11-01")
    return at


def save(path: Path, text: str) -> None:
    """Write a file. Raises BadRequest where that cannot be."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise BadRequest(f"{str(path)!r} cannot be written: {error.strerror}; name another file") from None


def asked(label: str) -> str:
    """What somebody types; it does not go into what is printed."""
    return str(typer.prompt(label, default="", show_default=False, err=True)).strip()


def known_head(text: str) -> Head:
    """A head as `rag cost verify` printed it. Raises BadRequest."""
    seq, _, seal = text.strip().partition(":")
    if not seq.isdigit() or len(seal) != 64:
        raise BadRequest(f"--head {text!r} is none; copy the line NUMBER:SEAL that `rag cost verify` printed")
    return Head(int(seq), seal)


def number(setting: str, text: str) -> float:
    """What was typed, as a number. Raises BadRequest."""
    try:
        return float(text)
    except ValueError:
        raise BadRequest(f"{setting} is {text!r}; type a number, or nothing for the default") from None
