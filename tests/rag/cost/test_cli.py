"""`rag cost` and `rag audit models` on a home with some requests in its ledger."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from sqlalchemy import delete, update
from typer.testing import CliRunner

from rag.cost import cli, models_cli
from rag.cost.accountant import Accountant
from rag.cost.meter import Work
from rag.cost.tables import ledger
from rag.errors import BadRequest
from rag.settings import Settings
from rag.store.database import Database
from rag.types import Principal
from tests.rag.cost.conftest import MACHINE

Run = Callable[..., Result]
WORK = Work(prefill_s=1, decode_s=2, prompt_tokens=900, completion_tokens=40)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    with_books(tmp_path)
    return program(tmp_path)


def program(home: Path) -> Run:
    """The commands on a home."""
    app, audit = typer.Typer(), typer.Typer()

    @app.callback()
    def options(context: typer.Context) -> None:
        context.meta["settings"] = Settings(home=home, hardware=MACHINE)

    @audit.callback()
    def about() -> None:
        """The rest of `rag audit` is another area's."""

    cli.register(app)
    models_cli.register(audit)
    app.add_typer(audit, name="audit")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return run


def with_books(home: Path) -> None:
    """Three requests of Anna, an hour ago."""
    database = Database(home)
    accountant = Accountant(database, Settings(home=home, hardware=MACHINE), clock=lambda: time.time() - 3600)
    for _ in range(3):
        ticket = accountant.open(Principal(user="anna"), tier="small", prompt_tokens=900, max_tokens=96)
        ticket.settle(WORK, model="smollm2-135m-instruct")
    database.close()


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_report_is_printed_and_written(run: Run, tmp_path: Path) -> None:
    csv, html = tmp_path / "r.csv", tmp_path / "r.html"
    shown = run("cost", "report", "--by", "model", "--csv", str(csv), "--html", str(html))
    assert shown.exit_code == 0
    assert "requests: 3 ok" in shown.stdout and "smollm2-135m-instruct: 3 requests" in shown.stdout
    assert "beside APIs" in shown.stdout
    assert csv.read_text().startswith("name,requests") and "<svg" in html.read_text()


def test_a_report_writes_nothing_and_the_first_work_closes_the_days_before(tmp_path: Path) -> None:
    database, settings = Database(tmp_path), Settings(home=tmp_path, hardware=MACHINE)
    now = time.time()  # a midnight between two looks would be one more day
    ledger_of = Accountant(database, settings, clock=lambda: now - 3 * 86_400).ledger
    assert "provisioned: 72.0 h" in program(tmp_path)("cost", "report").stdout
    assert ledger_of.verify().rows == 1
    Accountant(database, settings, clock=lambda: now).open(Principal(), tier="small").settle(WORK)
    assert ledger_of.verify().rows == 1 + 3 + 1  # three days, and the work
    database.close()


def test_the_report_is_told_to_programs(run: Run) -> None:
    made = found(run("cost", "report", "--json"))
    assert (made["answered"], made["currency"], made["by"]) == (3, "EUR", "tier")
    assert made["break_even"][0]["verdict"]


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "d", "9999-11-01", "-5d"])
def test_a_day_that_is_none_is_refused(run: Run, since: str) -> None:
    result = run("cost", "report", "--since", since)
    assert isinstance(result.exception, BadRequest) and "2026-11-01" in str(result.exception)


def test_the_books_are_verified_and_a_changed_row_ends_with_status_1(run: Run, tmp_path: Path) -> None:
    head = found(run("cost", "verify", "--json"))["head"]
    assert run("cost", "verify", "--head", head).exit_code == 0
    database = Database(tmp_path)
    with database.writing() as connection:
        connection.execute(update(ledger).where(ledger.c.seq == 2).values(busy_s=0.0))
    database.close()
    wrong = run("cost", "verify")
    assert wrong.exit_code == 1 and "row 2: it was changed" in wrong.stdout


def test_a_head_that_is_none_is_refused(run: Run) -> None:
    assert isinstance(run("cost", "verify", "--head", "3:abc").exception, BadRequest)


def test_budgets_are_set_listed_overridden_and_removed(run: Run) -> None:
    assert "no budgets" in run("cost", "budgets").stdout
    budget = "default:user:anna:day:wh"
    assert (
        run("cost", "budgets", "set", "user", "anna", "5", "--unit", "wh", "--period", "day").exit_code == 0
    )
    raised = run("cost", "budgets", "override", budget, "2", "--hours", "1", "--reason", "audit week")
    assert "2 more until" in raised.stdout
    (listed,) = found(run("cost", "budgets", "--json"))
    assert (listed["id"], listed["limit"], listed["left"]) == (budget, 7.0, 7.0)
    assert "0 of 7 Wh spent" in run("cost", "budgets").stdout
    assert run("cost", "budgets", "rm", budget).exit_code == 0
    assert "no budgets" in run("cost", "budgets").stdout


def test_another_load_is_imagined(run: Run) -> None:
    now = found(run("cost", "what-if", "--queries-per-hour", "10", "--json"))
    more = found(run("cost", "what-if", "--queries-per-hour", "100", "--json"))
    assert more["per_query"] < now["per_query"]
    assert "a question" in run("cost", "what-if", "--utilisation", "0.5").stdout


@pytest.mark.parametrize(
    "wish",
    [
        ("--utilisation", "nan"),
        ("--queries-per-hour", "inf"),
        ("--queries-per-hour", "-4"),
        ("--price", "-5"),
        ("--busy-watts", "nan"),
        ("--seconds", "nan"),
        ("--speed", "0"),
    ],
)
def test_a_load_and_a_machine_that_cannot_be_are_wrong_usage(run: Run, wish: tuple[str, str]) -> None:
    assert run("cost", "what-if", *wish).exit_code == 2


def test_a_machine_that_takes_more_power_idle_than_busy_is_refused(run: Run) -> None:
    refused = run("cost", "what-if", "--utilisation", "0.5", "--idle-watts", "4000")
    assert isinstance(refused.exception, BadRequest) and "--*-watts" in str(refused.exception)


@pytest.mark.parametrize("wish", [("cost", "report", "--csv"), ("cost", "report", "--html")])
def test_a_file_that_cannot_be_written_is_named(run: Run, tmp_path: Path, wish: tuple[str, ...]) -> None:
    refused = run(*wish, str(tmp_path / "no" / "report"))
    assert isinstance(refused.exception, BadRequest) and "cannot be written" in str(refused.exception)


def test_no_decision_yet_is_said_beside_what_programs_read(run: Run) -> None:
    result = run("cost", "decisions")
    assert result.exit_code == 0 and result.stdout == "" and "no question since then" in result.stderr


def test_the_profile_is_toml_that_says_which_figures_are_defaults(run: Run) -> None:
    printed = run("cost", "profile").stdout
    told = tomllib.loads(printed)["hardware"]
    assert told["cores"] >= 1 and set(told) == {"name", "cores"}
    assert "# price = 2700  # default, EUR, 1000 to 6000" in printed
    assert found(run("cost", "profile", "--json"))["cores"] == told["cores"]


@pytest.mark.model
def test_the_models_are_reported_with_digest_use_and_cost(run: Run, tmp_path: Path) -> None:
    made = found(run("audit", "models", "--json"))
    model = next(each for each in made["models"] if each["kind"] == "generator")
    assert (model["name"], model["state"], model["in_use"]) == ("smollm2-135m-instruct", "verified", True)
    assert model["architecture"] == "llama" and 130e6 < model["parameters"] < 140e6
    assert model["use"]["requests"] == 3 and model["use"]["tenants"] == ["default"]
    assert model["use"]["loaded_per_thousand"] > model["use"]["booked_per_thousand"] > 0
    shown = run("audit", "models").stdout
    assert "3 answers" in shown and "a thousand cost" in shown


@pytest.mark.model
def test_the_bill_of_materials_names_every_model_by_its_digest(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bom.json"
    assert run("audit", "models", "--bom", str(file)).exit_code == 0
    made = json.loads(file.read_text())
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["serialNumber"].startswith("urn:uuid:")
    models = {each["name"]: each for each in made["components"]}
    small = models["smollm2-135m-instruct"]
    assert small["type"] == "machine-learning-model"
    assert small["hashes"][0]["content"].startswith("b179c9523d0e6a0f")
    assert small["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert small["modelCard"]["modelParameters"]["task"] == "text-generation"
    assert models["all-minilm-l6-v2"]["modelCard"]["modelParameters"]["task"] == "feature-extraction"


def test_a_model_that_was_used_and_is_in_no_lock_is_reported_too(run: Run, tmp_path: Path) -> None:
    database = Database(tmp_path)
    accountant = Accountant(database, Settings(home=tmp_path, hardware=MACHINE))
    accountant.open(Principal(), tier="large").settle(WORK, model="gone-8b")
    database.close()
    time.sleep(0.01)
    assert "gone-8b  (not in the lock" in run("audit", "models").stdout
    others = found(run("audit", "models", "--json"))["others"]
    assert [(name, used["requests"]) for name, used in others.items()] == [("gone-8b", 1)]


def test_an_emptied_ledger_does_not_verify(run: Run, tmp_path: Path) -> None:
    assert run("cost", "verify").exit_code == 0
    database = Database(tmp_path)
    with database.writing() as connection:
        connection.execute(delete(ledger))
    database.close()
    wrong = run("cost", "verify")
    assert wrong.exit_code == 1 and "are gone: the ledger was emptied" in wrong.stdout
    assert "not all is here" in run("cost", "report").stdout
