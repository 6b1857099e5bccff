"""Open, work, settle: what is booked, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from rag.cost.accountant import Accountant
from rag.cost.guardrail import Plan
from rag.cost.ledger import Ending, Kind
from rag.cost.meter import Work, charge
from rag.cost.prices import PriceTable
from rag.cost.tables import ledger, reservations
from rag.cost.ticket import CpuShare
from rag.errors import BudgetExceeded, Cancelled, Overloaded, PriceUnavailable, SettingsError
from rag.settings import BudgetSettings, CostSettings, PriceSettings
from rag.types import Principal
from tests.rag.cost.conftest import Books, Clock

ANNA = Principal(tenant="acme", user="anna", key="k1")
WORK = Work(prefill_s=1.0, decode_s=2.0, prompt_tokens=300, completion_tokens=40, cached_tokens=100)


def rows(accountant: Accountant) -> list[Any]:
    with accountant.database.reading() as connection:
        query = select(ledger).where(ledger.c.kind == Kind.REQUEST).order_by(ledger.c.seq)
        return list(connection.execute(query).all())


def held(accountant: Accountant) -> int:
    with accountant.database.reading() as connection:
        return len(connection.execute(select(reservations)).all())


def test_a_request_has_one_row_with_all_that_is_known_of_it(books: Books) -> None:
    accountant = books()
    with accountant.open(
        ANNA, request_id="r1", tier="small", collection="contracts", prompt_tokens=300, max_tokens=96
    ) as ticket:
        made = ticket.settle(
            WORK,
            model="smollm2",
            route={"why": "lookup"},
            facts={"sha256": "ab", "quantisation": "Q4_1"},
        )
    (row,) = rows(accountant)
    assert (row.request_id, row.tenant, row.key, row.collection, row.tier) == (
        "r1",
        "acme",
        "k1",
        "contracts",
        "small",
    )
    assert (row.model, row.outcome, row.prompt_tokens, row.cached_tokens) == ("smollm2", "ok", 300, 100)
    assert row.busy_s == made.busy_s >= 3.0
    assert row.depreciation + row.energy + row.opex + row.external == pytest.approx(made.booked)
    told = json.loads(row.details)
    assert told["route"] == {"why": "lookup"} and told["model"]["quantisation"] == "Q4_1"
    assert told["step"] == "as_asked" and told["estimate"]["basis"] == "assumed"
    assert told["energy"]["tier"] in (4, 5) and told["constants"]
    assert told["seconds"] > 0 and told["grid_g_kwh"] == 400
    assert "anna" not in repr(row)
    assert held(accountant) == 0


def test_the_row_has_what_is_spent_of_the_budgets_after_it(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(tenant="acme", scope="user", unit="seconds", limit=100)])
    for spent in (3.0, 6.0):
        accountant.open(ANNA, tier="small").settle(WORK)
        row = rows(accountant)[-1]
        ((budget, start, after),) = json.loads(row.details)["budgets"]
        assert (budget, start) == ("user:month:seconds", "2026-11")
        assert after == pytest.approx(spent, abs=0.1)
        assert "anna" not in repr(row)


def test_settling_twice_books_once(books: Books) -> None:
    accountant = books()
    ticket = accountant.open(ANNA, tier="small")
    assert ticket.settle(WORK) is ticket.settle(WORK)
    assert len(rows(accountant)) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (asyncio.CancelledError(), Ending.INTERRUPTED),
        (GeneratorExit(), Ending.INTERRUPTED),
        (Cancelled("gone"), Ending.INTERRUPTED),
        (Overloaded("full"), Ending.ERROR),
        (ValueError("a bug"), Ending.ERROR),
    ],
)
def test_what_went_wrong_is_booked_with_the_work_so_far(
    books: Books, error: BaseException, outcome: Ending
) -> None:
    accountant = books()
    with pytest.raises(type(error)), accountant.open(ANNA, tier="small") as ticket:
        ticket.add(Work(cpu_s=4.0))
        raise error
    (row,) = rows(accountant)
    assert row.outcome == outcome
    assert row.busy_s >= 1.0  # four CPU-seconds on four cores
    assert held(accountant) == 0


def test_a_block_that_ends_without_settling_counts_as_interrupted(books: Books) -> None:
    accountant = books()
    with accountant.open(ANNA, tier="small"):
        pass
    assert rows(accountant)[0].outcome == Ending.INTERRUPTED


def test_an_engine_that_never_told_is_billed_by_the_clock_divided_among_those_who_waited(
    books: Books,
) -> None:
    accountant = books()
    one, other = (accountant.open(ANNA, tier="small", max_tokens=9) for _ in range(2))
    for ticket in (one, other):
        ticket.generating()
        ticket._engine_since -= 8.0
    with pytest.raises(Cancelled), one:
        raise Cancelled("gone")
    assert rows(accountant)[0].decode_s == pytest.approx(4.0, abs=0.2)
    other.settle(WORK)
    assert rows(accountant)[1].decode_s == 2.0


def test_an_escalated_question_pays_both_tiers_and_counts_once(books: Books, clock: Clock) -> None:
    accountant = books()
    ticket = accountant.open(ANNA, request_id="r1", tier="small", prompt_tokens=300, max_tokens=96)
    ticket.add(WORK, model="little")
    whole = ticket.settle(Work(decode_s=10.0, completion_tokens=50), tier="large", model="big")
    draft, answer = rows(accountant)
    assert (draft.tier, draft.outcome, draft.model) == ("small", Ending.ESCALATED, "little")
    assert (answer.tier, answer.outcome, answer.model) == ("large", Ending.OK, "big")
    assert draft.busy_s + answer.busy_s == pytest.approx(whole.busy_s)
    assert accountant.closing.open_period(clock.now + 60).requests == 1


def test_a_dearer_tier_is_reserved_as_well_within_the_cap_and_the_budgets(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(tenant="acme", scope="tenant", unit="seconds", limit=70)])
    ticket = accountant.open(ANNA, tier="small", prompt_tokens=100, max_tokens=20, most=1.0)
    before = ticket.decision.estimate.most.seconds
    accountant.rise(ticket, Plan("large", 200, 40), ANNA, None)
    assert ticket.decision.estimate.most.seconds == before + 35
    (account,) = accountant.budgets.standing()
    assert account.reserved == before + 35
    with pytest.raises(BudgetExceeded, match="dearer tier"):
        accountant.rise(ticket, Plan("large", 200, 40), ANNA, None)
    with pytest.raises(BudgetExceeded, match="this request may cost 1"):
        accountant.rise(ticket, Plan("large", 100_000, 40_000), ANNA, None)
    ticket.settle(WORK)
    (account,) = accountant.budgets.standing()
    assert account.reserved == 0


def test_a_packed_prompt_lets_go_of_what_it_cannot_use_and_never_takes_more(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(tenant="acme", scope="tenant", unit="seconds", limit=70)])
    ticket = accountant.open(ANNA, tier="small", prompt_tokens=400, max_tokens=40)
    (account,) = accountant.budgets.standing()
    assert account.reserved == 400 * 0.05 + 40 * 0.5 + 5
    accountant.narrow(ticket, Plan("small", 100, 20))
    (account,) = accountant.budgets.standing()
    assert account.reserved == ticket.decision.estimate.most.seconds == 100 * 0.05 + 20 * 0.5 + 5
    accountant.narrow(ticket, Plan("small", 4000, 400))
    (account,) = accountant.budgets.standing()
    assert account.reserved == ticket.decision.estimate.most.seconds == 20
    made = ticket.settle(WORK)
    (account,) = accountant.budgets.standing()
    assert (account.reserved, account.spent) == (0, pytest.approx(made.busy_s))
    details = json.loads(rows(accountant)[0].details)
    assert (
        details["estimate"]["most"]["seconds"] == 20 and details["packed"]["small"]["prompt_tokens"] == 4000
    )
    assert made.cost(1.0).estimated_most == pytest.approx(details["estimate"]["most"]["money"])


def test_what_was_swept_up_meanwhile_is_not_let_go_of_twice(books: Books, clock: Clock) -> None:
    accountant = books(budgets=[BudgetSettings(tenant="acme", scope="tenant", unit="seconds", limit=70)])
    late = accountant.open(ANNA, tier="small", prompt_tokens=400, max_tokens=40)
    clock.now += 3600
    assert accountant.sweep() == 1
    accountant.narrow(late, Plan("small", 100, 20))
    late.settle(WORK)
    (account,) = accountant.budgets.standing()
    assert account.reserved == 0


def test_a_question_that_no_model_is_asked_keeps_its_hold_until_it_is_settled(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(tenant="acme", scope="tenant", unit="seconds", limit=70)])
    ticket = accountant.open(ANNA, tier="small", prompt_tokens=400, max_tokens=40)
    accountant.narrow(ticket, Plan("small", 0, 0))
    estimate = ticket.decision.estimate
    assert (estimate.p50.seconds, estimate.most.seconds) == (5, 45)
    (account,) = accountant.budgets.standing()
    assert account.reserved == 45


def test_a_refused_request_is_in_the_ledger_with_the_estimate_and_costs_nothing(books: Books) -> None:
    accountant = books(cost=CostSettings(max_per_query=0.0001))
    with pytest.raises(BudgetExceeded, match=r"at most .* EUR \(assumed\); this one may cost 0.0001") as told:
        accountant.open(ANNA, request_id="r1", tier="small", prompt_tokens=3000, max_tokens=96)
    assert (told.value.status, told.value.code, told.value.reason) == (
        402,
        "cost_cap_exceeded",
        "cost_cap_exceeded",
    )
    (row,) = rows(accountant)
    assert (row.outcome, row.busy_s) == (Ending.REFUSED, 0.0)
    assert json.loads(row.details)["estimate"]["most"]["money"] > 0.0001


def test_an_answer_with_less_than_was_asked_for_says_so(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(tenant="acme", scope="tenant", unit="seconds", limit=25)])
    ticket = accountant.open(
        ANNA, tier="small", prompt_tokens=300, max_tokens=20, passages=8, passage_tokens=240
    )
    assert (ticket.decision.step, ticket.plan.passages) == ("fewer_chunks", 4)
    ticket.settle(WORK)
    assert rows(accountant)[0].outcome == Ending.DEGRADED


def test_work_that_can_wait_is_told_when_its_budget_starts_anew(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(tenant="acme", scope="tenant", unit="seconds", limit=1)])
    with pytest.raises(BudgetExceeded) as told:
        accountant.open(ANNA, tier="small", prompt_tokens=300, max_tokens=20, can_wait=True)
    assert told.value.reason == "queue"


def test_money_for_others_is_reserved_by_their_price_and_refused_without_one(books: Books) -> None:
    fresh = {"their-model": PriceSettings(input=10, output=30, currency="EUR", as_of=date(2026, 11, 1))}

    def price_of(tier: str) -> Any:
        models = {"outside": "their-model", "unknown": "other-model"}
        return PriceTable(fresh).price(models[tier], date(2026, 11, 21)) if tier in models else None

    accountant = books(price_of=price_of)
    ticket = accountant.open(ANNA, tier="outside", prompt_tokens=100_000, max_tokens=1000)
    assert ticket.decision.estimate.external_most == pytest.approx(2.03)  # 100,000 tokens are a guess
    made = ticket.settle(Work(external=1.01))
    assert made.external == 1.01 and rows(accountant)[0].external == 1.01
    with pytest.raises(PriceUnavailable):
        accountant.open(ANNA, tier="unknown", prompt_tokens=10, max_tokens=10)
    assert held(accountant) == 0


def test_a_home_that_counts_in_one_currency_does_not_go_on_in_another(books: Books) -> None:
    books(cost=CostSettings(currency="USD"))  # nothing was counted yet
    with books().open(ANNA, tier="small") as ticket:
        ticket.settle(WORK)
    with pytest.raises(SettingsError, match="cost.currency is 'USD', and this home counts in 'EUR'"):
        books(cost=CostSettings(currency="USD"))
    assert books().rates.currency == "EUR"


def test_utilisation_is_of_the_last_day_at_most(books: Books, clock: Clock) -> None:
    accountant = books()
    clock.now += 100
    accountant.open(ANNA, tier="small").settle(Work(decode_s=25.0))
    clock.now += 900
    assert accountant.utilisation() == pytest.approx(0.025, rel=0.01)
    made = accountant.open(ANNA, tier="small").settle(Work(decode_s=25.0))
    assert made.utilisation == pytest.approx(0.05, rel=0.01)  # its own work counts
    clock.now += 200_000
    assert accountant.utilisation() == 1.0  # nobody asked: there is nothing to divide the idle time by


def test_the_cpu_time_of_a_process_is_divided_among_those_who_are_open() -> None:
    now = 0.0
    share = CpuShare(lambda: now)
    one = share.join()
    now = 2.0
    other = share.join()
    now = 6.0
    assert share.leave(one) == 4.0
    now = 7.0
    assert share.leave(other) == 3.0
    now = 9.0  # nobody was open: nobody pays
    last = share.join()
    assert share.leave(last) == 0.0


def test_a_charge_is_what_its_work_costs_at_the_rates_in_force(books: Books) -> None:
    accountant = books()
    made = accountant.open(ANNA, tier="small").settle(WORK)
    assert made.booked == pytest.approx(charge(WORK, accountant.rates).booked, rel=0.02)
