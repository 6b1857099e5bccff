"""The report over a ledger of known requests; usage, savings, break-even, what-if, page and table."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest
from sqlalchemy import delete

from rag.cost.accountant import Accountant
from rag.cost.break_even import MeanQuestion, break_even
from rag.cost.ledger import Ending
from rag.cost.meter import Work
from rag.cost.prices import Price, price
from rag.cost.rates import rates_of
from rag.cost.report import report
from rag.cost.report_page import page
from rag.cost.report_table import table_csv
from rag.cost.summary import facts, report_json, told
from rag.cost.tables import ledger
from rag.cost.usage import By, usage
from rag.cost.what_if import Change, outlook
from rag.errors import BadRequest
from rag.settings import CostSettings, HardwareSettings
from rag.types import Principal
from tests.rag.cost.conftest import MACHINE, NOON, Books, Clock

RATES = rates_of(MACHINE, CostSettings())
WORK = Work(prefill_s=10, decode_s=26, prompt_tokens=1000, cached_tokens=200, completion_tokens=100)


@pytest.fixture
def asked(books: Books, clock: Clock) -> Accountant:
    """Ten hours: eight questions of Anna, two of Ben, one of them remembered, and a run of ingestion."""
    accountant = books()
    for number in range(10):
        user = "ben" if number > 7 else "anna"
        principal = Principal(tenant="acme", user=user)
        ticket = accountant.open(principal, tier="small", collection="law", prompt_tokens=1000, max_tokens=96)
        clock.now += 3600
        if number == 9:
            ticket.settle(Work(), outcome=Ending.CACHED)
        else:
            ticket.settle(WORK, model="smollm2-135m-instruct")
    work = Work(cpu_s=144.0)
    owner, told = Principal(tenant="acme"), {"documents": 3}
    accountant.book_ingestion(owner, work, job="j1", collection="law", details=told)
    clock.now += 0.5
    return accountant


def test_the_whole_is_the_hours_at_their_load(asked: Accountant, clock: Clock) -> None:
    made = report(asked, since=0)
    assert (made.start, made.answered) == (NOON, 10)
    assert made.utilisation == pytest.approx(
        360 / 36_000, rel=0.01
    )  # nine questions and ingestion, 36 s each
    assert made.cost == pytest.approx(RATES.hour(0.01) * 10, rel=1e-3)
    assert made.energy_wh == pytest.approx(RATES.watts(0.01) * 10, rel=1e-3)
    assert made.per_query == pytest.approx(made.cost / 10)
    assert made.marginal_per_query and made.marginal_per_query < made.per_query / 100


def test_closing_days_in_between_changes_no_total(asked: Accountant, clock: Clock) -> None:
    clock.now += 20 * 3600
    before = report(asked, since=0)
    asked.tick()
    after = report(asked, since=0)
    assert after.cost == pytest.approx(before.cost)
    assert after.energy_wh == pytest.approx(before.energy_wh)
    assert after.idle.seconds == pytest.approx(before.idle.seconds)


def test_usage_is_told_by_whom_and_by_what(asked: Accountant) -> None:
    anna = asked.ledger.alias("acme", "anna")
    by_user = {line.name: line for line in usage(asked.database, by=By.USER)}
    assert (by_user[anna].requests, by_user[anna].prompt_tokens) == (8, 8000)
    by_tier = {line.name: (line.requests, round(line.busy_s)) for line in usage(asked.database, by=By.TIER)}
    assert by_tier == {"small": (10, 324), "ingest": (0, 36)}
    by_day = [line.name for line in usage(asked.database, by=By.DAY)]
    assert by_day == ["2026-11-21"]
    assert {line.name for line in usage(asked.database, by=By.OUTCOME)} == {"ok", "cached"}
    assert usage(asked.database, tenant="other") == ()


def test_a_user_sees_what_is_his_and_nothing_of_others(asked: Accountant) -> None:
    (ben,) = asked.usage(Principal(tenant="acme", user="ben"))
    assert ben.requests == 2
    assert asked.usage(Principal(tenant="other", user="ben")) == ()
    (everybody,) = asked.usage(None)
    assert everybody.requests == 10


def test_caches_save_what_was_not_computed(asked: Accountant) -> None:
    saved = report(asked, since=0).savings
    second = RATES.hour(1.0) / 3600
    assert saved.cached_tokens == 1800
    assert saved.by_prefix == pytest.approx(1800 * 10 / 800 * second, rel=0.01)
    assert (saved.answers, saved.by_answers) == (1, pytest.approx(36 * second, rel=0.01))


def test_an_api_that_is_cheaper_is_called_so() -> None:
    server = HardwareSettings(price=3000, idle_watts=150, busy_watts=150, price_kwh=0.2, pue=1.54)
    rates = rates_of(server, CostSettings(currency="USD"))
    on, rag = date(2026, 8, 5), MeanQuestion(3000, 300, 6.0)
    found = break_even(rag, rates, price("gpt-5.6-luna", on), worth=1.0, per_hour=50, on=on)
    assert found.needed == pytest.approx(120, abs=1)  # as in the reference
    assert found.verdict == f"the API is cheaper below {found.needed:.0f} questions an hour"
    dear = break_even(rag, rates, price("gpt-5.5", on), worth=1.0, per_hour=50, on=on)
    assert dear.verdict == "this machine is cheaper"
    long = MeanQuestion(3000, 300, 60.0)
    slow = break_even(long, rates, price("gpt-5.6-luna", on), worth=1.0, per_hour=50, on=on)
    assert slow.verdict == "the API is cheaper, at any load"


def test_the_report_names_apis_old_prices_and_the_defaults_that_nobody_set(asked: Accountant) -> None:
    words = told(report(asked, since=0))
    assert "gpt-5.5" in words and "too old to rely on" in words
    assert "defaults" not in words  # this machine's figures were all set
    settings = asked.settings.model_copy(update={"hardware": HardwareSettings()})
    default = told(report(Accountant(asked.database, settings), since=0, until=NOON + 36_000))
    assert "\n  price 2700 EUR (1000 to 6000)" in default and "\n  grid 474" in default


def test_apis_are_compared_by_the_questions_that_a_model_worded(asked: Accountant, clock: Clock) -> None:
    before = report(asked, since=0)
    for _ in range(90):
        asked.open(Principal(), tier="extract").settle(Work(cpu_s=1.0))
    clock.now += 0.5
    after = report(asked, since=0)
    assert (before.answered, after.answered, after.worded.requests) == (10, 100, 9)
    costs = [[each.api_cost for each in made.break_even] for made in (before, after)]
    assert costs[0] == pytest.approx(costs[1]) and min(costs[0]) > 0


def test_where_every_answer_was_quoted_there_is_no_api_to_compare_with(books: Books, clock: Clock) -> None:
    accountant = books()
    accountant.open(Principal(), tier="extract").settle(Work(cpu_s=1.0))
    clock.now += 60
    assert report(accountant, since=0).break_even == ()


def test_a_stretch_without_an_end_after_its_beginning_is_refused(books: Books, clock: Clock) -> None:
    with pytest.raises(BadRequest, match="give an earlier beginning"):
        report(books(), since=clock.now + 60)


def test_a_home_where_nobody_asked_has_a_report_too(books: Books, clock: Clock) -> None:
    accountant = books()
    clock.now += 3600
    made = report(accountant, since=0)
    assert made.per_query is None and made.break_even == ()
    assert made.cost == pytest.approx(RATES.hour(0.0))
    assert "no answers" in told(made)
    assert json.loads(json.dumps(report_json(made)))["answered"] == 0


def test_estimates_are_held_against_what_happened(books: Books, clock: Clock) -> None:
    accountant = books()
    for _ in range(60):
        accountant.open(Principal(), tier="small", prompt_tokens=1000, max_tokens=128).settle(WORK)
        clock.now += 60
    found = report(accountant, since=0).estimates
    assert found and (found.requests, found.within_most) == (40, 1.0)
    assert found.median_error < 0.01


def test_the_table_has_every_group_the_idle_time_and_the_whole(asked: Accountant) -> None:
    rows = list(csv.DictReader(io.StringIO(table_csv(report(asked, since=0)))))
    assert [row["name"] for row in rows] == ["small", "ingest", "(idle)", "(all)"]
    assert sum(float(row["booked"]) for row in rows[:-1]) == pytest.approx(float(rows[-1]["booked"]))


def test_a_name_that_looks_like_a_formula_stays_a_name(books: Books, clock: Clock) -> None:
    accountant = books()
    accountant.open(Principal(), tier="small", collection="=cmd()").settle(WORK)
    clock.now += 60
    assert "'=cmd()" in table_csv(report(accountant, since=0, by=By.COLLECTION))


class Tags(HTMLParser):
    """Counts what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_the_page_has_charts_and_fetches_and_runs_nothing(books: Books, clock: Clock) -> None:
    accountant = books()
    accountant.open(Principal(), tier="small", collection="<script>x</script>").settle(WORK)
    clock.now += 60
    made = page(report(accountant, since=0, by=By.COLLECTION))
    tags = Tags()
    tags.feed(made)
    assert "script" not in tags.seen and "link" not in tags.seen and "img" not in tags.seen
    assert tags.seen.count("svg") == 2
    assert "&lt;script&gt;" in made


def test_another_load_and_another_machine_change_the_cost_of_a_question() -> None:
    mean = MeanQuestion(1000, 100, 36.0)
    now = outlook(mean, RATES, Change(), per_hour=10)
    assert (now.machines, now.utilisation) == (1, pytest.approx(0.1))
    assert now.per_query == pytest.approx(RATES.hour(0.1) / 10)
    full = outlook(mean, RATES, Change(utilisation=1.0), per_hour=10)
    assert full.queries_per_hour == 100
    assert full.per_query == pytest.approx(RATES.hour(1.0) / 100)
    longer = outlook(mean, RATES, Change(life_years=2), per_hour=10)
    assert now.per_hour - longer.per_hour == pytest.approx(0.5)
    dearer = outlook(mean, RATES, Change(price=2 * 8760), per_hour=10)
    assert dearer.per_hour - now.per_hour == pytest.approx(1.0)
    assert outlook(mean, RATES, Change(speed=4), per_hour=10).utilisation == pytest.approx(0.025)


def test_a_machine_that_is_just_full_is_one_machine() -> None:
    for tenths in range(1, 400):
        mean = MeanQuestion(1000, 100, tenths / 10 + 0.017)
        found = outlook(mean, RATES, Change(utilisation=1.0), per_hour=10)
        assert (found.machines, round(found.utilisation, 9)) == (1, 1.0)


def test_the_mean_question_is_priced_as_it_is() -> None:
    price = Price("api", 0.0, 10.0, None, "EUR", "", date(2026, 11, 1))
    on = date(2026, 11, 21)
    found = break_even(MeanQuestion(0, 12.4, 1.0), RATES, price, worth=1.0, per_hour=1, on=on)
    assert found.api_cost == pytest.approx(124e-6)


def test_the_band_of_the_carbon_follows_the_grid_that_was_in_force(asked: Accountant, clock: Clock) -> None:
    clock.now = NOON + 86_400 + 3600
    asked.tick()
    made = report(asked, since=0, until=NOON + 43_200)
    clean = replace(made, rates=replace(made.rates, grid_g_kwh=10.0))  # as of today
    shown = dict(facts(clean))["carbon"]
    assert shown == dict(facts(made))["carbon"]


def test_a_load_beyond_one_machine_takes_more_of_them() -> None:
    found = outlook(MeanQuestion(1000, 100, 36.0), RATES, Change(queries_per_hour=250), per_hour=10)
    assert (found.machines, found.utilisation) == (3, pytest.approx(250 / 300))
    assert found.per_hour == pytest.approx(3 * RATES.hour(250 / 300))


@pytest.mark.parametrize(
    "change", [Change(queries_per_hour=1, utilisation=0.5), Change(speed=0), Change(queries_per_hour=0)]
)
def test_what_cannot_be_imagined_is_refused(change: Change) -> None:
    with pytest.raises(BadRequest):
        outlook(MeanQuestion(1, 1, 1.0), RATES, change, per_hour=1)


def test_a_report_over_an_emptied_ledger_says_so(asked: Accountant, books: Books, clock: Clock) -> None:
    asked.ledger.remember()
    assert not report(asked, since=0).gap
    with asked.database.writing() as connection:
        connection.execute(delete(ledger))
    again = books()
    clock.now += 60
    made = report(again, since=0)
    assert "are gone: the ledger was emptied" in made.gap
    assert told(made).startswith("not all is here: the rows up to") and made.gap in page(made)


def test_every_column_of_the_table_adds_up_to_its_last_line(asked: Accountant) -> None:
    *lines, whole = csv.DictReader(io.StringIO(table_csv(report(asked, since=0))))
    for name in set(whole) - {"name", "currency"}:
        assert sum(float(line[name]) for line in lines) == pytest.approx(float(whole[name])), name
    assert float(whole["booked"]) == pytest.approx(
        sum(float(whole[name]) for name in ("depreciation", "energy", "opex", "external"))
    )


def test_the_report_says_from_when_to_when_and_large_amounts_in_thousands(
    asked: Accountant, clock: Clock
) -> None:
    shown = dict(facts(report(asked, since=0)))
    assert "2026-11-21 12:00 to 2026-11-21 22:00 UTC" in shown["provisioned"]
    assert shown["energy at the machine"].startswith("1.02 kWh, between 0.")
    assert " kgCO2e, between " in shown["carbon"]
