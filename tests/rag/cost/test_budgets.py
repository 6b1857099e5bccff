"""Budgets under load: many at once, processes that are killed, leases, overrides."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import event, select

from rag.cost.accountant import Accountant
from rag.cost.budget import Account, Amounts, Budget, Scope, Span, Unit, figure
from rag.cost.budgets import Budgets, of_request
from rag.cost.guardrail import Plan
from rag.cost.ledger import Ending, Kind
from rag.cost.meter import Work
from rag.cost.reservations import LEASE_S, Reservations
from rag.cost.tables import balances, ledger, reservations
from rag.errors import BadRequest, BudgetExceeded, Forbidden, NotFound, SettingsError
from rag.settings import BudgetSettings, Settings
from rag.store.database import Database
from rag.types import Principal, Right
from tests.rag.cost.conftest import Books, Clock

TEN = Budget("default", Scope.TENANT, "*", Span.MONTH, Unit.SECONDS, 10)

# A process that reserves for 50 requests of one second each, from many threads, and settles every other one.
WORKER = """
import sys, threading
from pathlib import Path
from rag.cost.budget import Amounts
from rag.cost.budgets import Budgets
from rag.cost.reservations import Reservations
from rag.store.database import Database
from rag.types import Principal

database = Database(Path(sys.argv[1]))
budgets, under_way, one = Budgets(database), Reservations(database), Amounts(seconds=1)
got = []

def request(number):
    with database.writing() as connection:
        accounts = budgets.applicable(connection, Principal(), None)
        held = under_way.reserve(connection, f"{sys.argv[2]}-{number}", accounts, one, {})
    if held:
        got.append(held)
        if number % 2:
            with database.writing() as connection:
                under_way.settle(connection, held, one)

threads = [threading.Thread(target=request, args=(n,)) for n in range(50)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(got))
"""

# A process that reserves through the accountant and never comes back.
HANGS = """
import sys, time
from pathlib import Path
from rag.cost.accountant import Accountant
from rag.settings import Settings
from rag.store.database import Database
from rag.types import Principal

home = Path(sys.argv[1])
accountant = Accountant(Database(home), Settings(home=home))
accountant.open(Principal(user="anna"), request_id="lost", tier="small", prompt_tokens=10, max_tokens=10)
print("open", flush=True)
time.sleep(60)
"""


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL: it can do nothing about it."""
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


@pytest.fixture
def budgets(database: Database, clock: Clock) -> Budgets:
    return Budgets(database, clock=clock)


def declared(budgets: Budgets, *wanted: Budget) -> None:
    budgets.declare(wanted)


def standing(budgets: Budgets) -> Account:
    (account,) = budgets.standing()
    return account


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)


def test_two_hundred_requests_at_once_never_take_more_than_a_budget_for_ten(tmp_path: Path) -> None:
    database = Database(tmp_path)
    budgets = Budgets(database)
    declared(budgets, TEN)
    processes = [start(WORKER, str(tmp_path), str(number)) for number in range(4)]
    got = [int(process.communicate(timeout=120)[0]) for process in processes]
    account = standing(budgets)
    assert sum(got) == 10
    assert account.spent + account.reserved == 10
    database.close()


def test_a_request_of_a_killed_process_is_booked_as_interrupted_and_its_hold_is_free(tmp_path: Path) -> None:
    database = Database(tmp_path)
    process = start(HANGS, str(tmp_path))
    assert process.stdout and process.stdout.readline() == "open\n"
    kill(process)
    accountant = Accountant(database, Settings(home=tmp_path))
    with database.reading() as connection:
        (row,) = connection.execute(select(ledger).where(ledger.c.kind == Kind.REQUEST)).all()
        assert connection.execute(select(reservations)).all() == []
    assert (row.request_id, row.outcome, row.busy_s) == ("lost", Ending.INTERRUPTED, 0.0)
    assert row.user == accountant.ledger.alias("default", "anna")
    assert accountant.ledger.verify().broken is None
    assert accountant.sweep() == 0
    database.close()


def test_nothing_held_is_lost_when_a_process_is_killed(tmp_path: Path) -> None:
    database = Database(tmp_path)
    budgets = Budgets(database)
    with database.writing() as connection:
        budgets.set(
            connection, Budget("default", Scope.TENANT, "*", Span.MONTH, Unit.SECONDS, 1e6, source="x")
        )
    processes = [start(HANGS, str(tmp_path)) for _ in range(3)]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "open\n"
    assert standing(budgets).reserved > 0
    for process in processes:
        kill(process)
    Accountant(database, Settings(home=tmp_path))
    account = standing(budgets)
    assert (account.reserved, account.spent) == (0, 0)
    database.close()


def test_what_is_not_used_is_given_back_to_the_billionth(budgets: Budgets) -> None:
    declared(budgets, Budget("default", Scope.TENANT, "*", Span.DAY, Unit.MONEY, 1))
    under_way = Reservations(budgets.database)
    for number in range(50):
        with budgets.database.writing() as connection:
            accounts = budgets.applicable(connection, Principal(), None)
            held = under_way.reserve(connection, str(number), accounts, Amounts(money=0.1 + 0.2), {})
            assert held
            under_way.settle(connection, held, Amounts(money=0.01))
    account = standing(budgets)
    assert (account.reserved, account.spent, account.left) == (0, 0.5, 0.5)


def test_a_day_has_a_balance_of_its_own(books: Books, clock: Clock) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", period="day", unit="seconds", limit=20)])
    accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=20)  # at most 15.5 s
    with pytest.raises(BudgetExceeded, match=r"20 a day, 0 spent, 15.5 held .*anew 2026-11-22 00:00 UTC"):
        accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=20)
    clock.now += 86_400
    accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=20)


def test_each_user_has_a_budget_of_its_own_and_all_share_that_of_the_group(books: Books) -> None:
    each = BudgetSettings(scope="user", unit="seconds", limit=20)
    group = BudgetSettings(scope="group", subject="staff", unit="seconds", limit=40, on_limit="refuse")
    accountant = books(budgets=[each, group])
    anna, ben, cleo = (Principal(user=name, groups=("staff",)) for name in ("anna", "ben", "cleo"))
    accountant.open(anna, tier="small", prompt_tokens=10, max_tokens=20)
    with pytest.raises(BudgetExceeded, match="default:user:\\*:month:seconds"):
        accountant.open(anna, tier="small", prompt_tokens=10, max_tokens=20)
    accountant.open(ben, tier="small", prompt_tokens=10, max_tokens=20)
    with pytest.raises(BudgetExceeded, match="default:group:staff:month:seconds"):
        accountant.open(cleo, tier="small", prompt_tokens=10, max_tokens=20)
    assert {each.subject for each in accountant.budgets.standing()} >= {"anna", "ben", "staff"}


def test_a_member_of_several_groups_is_told_of_the_one_that_is_spent(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="group", subject="*", unit="seconds", limit=20)])
    asked = {"tier": "small", "prompt_tokens": 10, "max_tokens": 20}
    accountant.open(Principal(groups=("staff",)), **asked)
    with pytest.raises(BudgetExceeded, match="group:\\*.*15.5 machine-seconds of 4.5 left"):
        accountant.open(Principal(groups=("board", "staff")), **asked)


def test_collections_and_keys_have_budgets_and_other_tenants_none_of_them(books: Books) -> None:
    limits = [BudgetSettings(scope=scope, unit="seconds", limit=1) for scope in ("collection", "key")]
    accountant = books(budgets=limits)
    asked = {"tier": "small", "prompt_tokens": 10, "max_tokens": 20}
    for principal, collection in ((Principal(), "contracts"), (Principal(key="k1"), None)):
        with pytest.raises(BudgetExceeded):
            accountant.open(principal, collection=collection, **asked)
    accountant.open(Principal(), **asked)
    accountant.open(Principal(tenant="other", key="k1"), collection="contracts", **asked)


def test_a_key_for_some_collections_draws_on_their_budgets_without_naming_them(books: Books) -> None:
    of_law = BudgetSettings(scope="collection", subject="law", unit="seconds", limit=1)
    accountant = books(budgets=[of_law])
    with pytest.raises(BudgetExceeded, match="collection:law"):
        accountant.open(Principal(collections=("hr", "law")), tier="small")
    accountant.open(Principal(collections=("hr",)), tier="small").settle()


def test_who_is_refused_is_told_the_limit_what_is_spent_and_when_it_starts_anew(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", limit=12)])
    accountant.open(Principal(), tier="small").settle(Work(decode_s=12))
    told = r"needs at most 5 machine-seconds of 0 left \(12 a month, 12 spent\); "
    told += "it starts anew 2026-12-01 00:00 UTC, or ask an operator to raise it"
    with pytest.raises(BudgetExceeded, match=told):
        accountant.open(Principal(), tier="small")


def test_a_soft_limit_warns_once(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", limit=100, soft=0.5)])

    def ask(seconds: float) -> tuple[str, ...]:
        ticket = accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=10)
        return ticket.settle(Work(decode_s=seconds)).warnings

    assert ask(5) == ()
    assert "is spent (" in ask(50)[0]
    assert [each for each in ask(1) if "(" in each] == []  # beside it the reader sees how much is spent


def test_budgets_of_rag_toml_come_and_go_with_it_and_those_of_people_stay(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", limit=5)])
    accountant.set_budget(Principal(), Budget("default", Scope.USER, "anna", Span.DAY, Unit.WH, 3))
    assert len(accountant.budgets.standing()) == 2
    changed = books(budgets=[BudgetSettings(scope="key", limit=7)]).budgets.standing()
    assert [(each.budget.scope, each.budget.source) for each in changed] == [
        (Scope.KEY, "settings"),
        (Scope.USER, "owner"),
    ]


def test_a_budget_that_an_operator_set_stays_until_it_is_removed_whatever_rag_toml_says(books: Books) -> None:
    declared = [BudgetSettings(scope="tenant", limit=5)]
    ours = Budget("default", Scope.TENANT, "*", Span.MONTH, Unit.MONEY, 3)
    books(budgets=declared).set_budget(Principal(), ours)
    accountant = books(budgets=declared)
    assert [each.limit for each in accountant.budgets.standing()] == [3]
    accountant.remove_budget(Principal(), ours.id)
    assert [each.limit for each in books(budgets=declared).budgets.standing()] == [5]


def test_two_budgets_of_rag_toml_for_the_same_are_refused(books: Books) -> None:
    twice = [BudgetSettings(scope="tenant", limit=5), BudgetSettings(scope="tenant", limit=7)]
    with pytest.raises(SettingsError, match=r"both default:tenant:\*:month:money"):
        books(budgets=twice)


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0, 0.0, 1e-12, 1e300])
def test_what_is_no_amount_is_no_budget(books: Books, clock: Clock, limit: float) -> None:
    accountant = books()
    accountant.set_budget(Principal(), TEN)
    with pytest.raises(BadRequest):
        accountant.set_budget(Principal(), replace(TEN, limit=limit))
    if limit != 1e-12:
        with pytest.raises(BadRequest):
            accountant.override(Principal(), TEN.id, extra=limit, until=clock.now + 60, reason="why")
    with pytest.raises(BadRequest):
        accountant.override(Principal(), TEN.id, extra=1, until=clock.now * limit, reason="why")
    with pytest.raises(ValidationError):
        BudgetSettings(scope="tenant", limit=limit)


def test_a_budget_that_is_removed_and_set_again_meanwhile_allows_no_more(books: Books) -> None:
    accountant = books()
    accountant.set_budget(Principal(), TEN)
    ticket = accountant.open(Principal(), tier="small", max_tokens=2)
    accountant.remove_budget(Principal(), TEN.id)
    accountant.set_budget(Principal(), TEN)
    ticket.settle(Work(decode_s=4))
    [account] = accountant.budgets.standing()
    assert (account.spent, account.reserved, account.left) == pytest.approx((4, 0, 6), abs=0.1)


def test_a_limit_that_changes_while_requests_run_holds_for_the_next(books: Books) -> None:
    accountant = books()
    accountant.set_budget(Principal(), TEN)
    ticket = accountant.open(Principal(), tier="small", max_tokens=2)
    accountant.set_budget(Principal(), replace(TEN, limit=3))
    with pytest.raises(BudgetExceeded):
        accountant.open(Principal(), tier="small", max_tokens=2)
    ticket.settle(Work(decode_s=4))
    [account] = accountant.budgets.standing()
    assert account.spent == pytest.approx(4, abs=0.1) and account.reserved == 0 and account.left < 0


def test_a_request_over_midnight_is_booked_on_the_day_on_which_it_was_asked(
    books: Books, clock: Clock
) -> None:
    # The night in which Europe puts its clocks back: days are of UTC, and all of them have 24 hours.
    clock.now = 1_792_972_799.0  # 25 October 2026, 23:59:59 UTC
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", period="day", limit=10)])
    ticket = accountant.open(Principal(), tier="small", max_tokens=2)
    clock.now += 2
    accountant.open(Principal(), tier="small", max_tokens=2).settle(Work(decode_s=1))
    ticket.settle(Work(decode_s=4))
    with accountant.database.reading() as connection:
        found = connection.execute(select(balances).order_by(balances.c.start)).all()
    assert [(row.start, round(row.spent / 1e9), row.reserved) for row in found] == [
        ("2026-10-25", 4, 0),
        ("2026-10-26", 1, 0),
    ]


def test_a_command_that_runs_without_the_rag_toml_of_the_server_opens_no_budget(books: Books) -> None:
    books(budgets=[BudgetSettings(scope="tenant", limit=5)])
    assert len(books().budgets.standing()) == 1


def test_only_operators_of_a_tenant_set_its_budgets(books: Books) -> None:
    accountant = books()
    budget = Budget("acme", Scope.USER, "anna", Span.DAY, Unit.WH, 3)
    with pytest.raises(Forbidden):
        accountant.set_budget(Principal(tenant="acme", user="anna", rights=frozenset({Right.ASK})), budget)
    with pytest.raises(NotFound):
        accountant.set_budget(Principal(tenant="other", key="k1", rights=frozenset(Right)), budget)
    accountant.set_budget(Principal(tenant="acme", user="op", rights=frozenset({Right.OPERATE})), budget)


def test_the_ledger_names_no_user_whose_budget_was_changed(books: Books, clock: Clock) -> None:
    accountant = books()
    budget = Budget("default", Scope.USER, "anna", Span.DAY, Unit.WH, 3)
    accountant.set_budget(Principal(), budget)
    accountant.override(Principal(), budget.id, extra=1, until=clock.now + 9, reason="audit week")
    accountant.remove_budget(Principal(), budget.id)
    with accountant.database.reading() as connection:
        told = (
            connection.execute(select(ledger.c.details).where(ledger.c.kind == Kind.CHANGE)).scalars().all()
        )
    assert len(told) == 3 and "anna" not in "".join(told)
    assert all(accountant.ledger.alias("default", "anna") in each for each in told)


def test_an_override_needs_a_reason_and_an_end_and_is_in_the_ledger(books: Books, clock: Clock) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", limit=10)])
    budget_id = "default:tenant:*:month:seconds"
    asked = {"tier": "small", "prompt_tokens": 10, "max_tokens": 20}
    with pytest.raises(BadRequest, match="reason"):
        accountant.override(Principal(), budget_id, extra=10, until=clock.now + 60, reason=" ")
    with pytest.raises(BudgetExceeded):
        accountant.open(Principal(), **asked)
    accountant.override(Principal(), budget_id, extra=10, until=clock.now + 60, reason="audit week")
    accountant.open(Principal(), **asked).settle()
    clock.now += 61
    with pytest.raises(BudgetExceeded):
        accountant.open(Principal(), **asked)
    with accountant.database.reading() as connection:
        (row,) = connection.execute(select(ledger.c.details).where(ledger.c.kind == Kind.CHANGE)).scalars()
    assert "audit week" in row
    with pytest.raises(NotFound, match="rag cost budgets"):
        accountant.override(Principal(), "default:nothing", extra=1, until=clock.now + 9, reason="x")


def test_a_lease_that_ran_out_frees_its_hold_and_a_late_settlement_still_counts(
    books: Books, clock: Clock
) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", limit=100)])
    ticket = accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=20)
    clock.now += LEASE_S + 1
    assert accountant.sweep() == 1
    ticket.settle(Work(decode_s=3))
    account = standing(accountant.budgets)
    assert account.reserved == 0
    assert account.spent == pytest.approx(3, abs=0.1)


def test_leases_of_requests_under_way_are_renewed(books: Books, clock: Clock) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", limit=100)])
    ticket = accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=20)
    for _ in range(3):
        clock.now += LEASE_S / 2
        accountant.tick()
    assert standing(accountant.budgets).reserved == 15.5
    ticket.settle()
    assert standing(accountant.budgets).reserved == 0


def test_threads_of_one_process_do_not_overdraw(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", limit=155)])
    allowed: list[bool] = []

    def ask() -> None:
        try:
            accountant.open(Principal(), tier="small", prompt_tokens=10, max_tokens=20)
            allowed.append(True)
        except BudgetExceeded:
            allowed.append(False)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) >= 10  # shorter answers fit beside ten whole ones
    assert standing(accountant.budgets).reserved <= 155
    assert time.monotonic() - began < 120


def test_more_budgets_and_groups_take_no_more_statements(books: Books) -> None:
    def statements(groups: int, **settings: object) -> int:
        accountant = books(**settings)
        names = tuple(f"g{number}" for number in range(groups))
        asks = Principal(user="anna", key="k1", groups=names)
        accountant.open(asks, tier="small", max_tokens=2).settle()  # begins the balances
        seen: list[str] = []

        def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)

        event.listen(accountant.database.engine, "before_cursor_execute", count)
        ticket = accountant.open(asks, tier="small", prompt_tokens=9, max_tokens=2)
        accountant.narrow(ticket, Plan("small", 5, 2))
        ticket.settle(Work(decode_s=0.1))
        event.remove(accountant.database.engine, "before_cursor_execute", count)
        return len(seen)

    one = BudgetSettings(scope="tenant", unit="seconds", limit=1e6)
    more = [BudgetSettings(scope=scope, unit="wh", limit=1e6) for scope in ("user", "key", "group")]
    assert statements(1, budgets=[one]) == statements(9, budgets=[one, *more]) <= 14


def test_what_other_users_drew_is_not_read_for_one_of_them(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="user", unit="seconds", limit=100)])
    accountant.set_budget(Principal(), replace(TEN, scope=Scope.USER, subject="bob"))
    for name in ("bob", "carl", "dora", "anna"):
        accountant.open(Principal(user=name), tier="small", max_tokens=2).settle(Work(decode_s=1))
    wanted = {
        "subject0": "default",
        "subject1": "anna",
        "of_tenant": "default",
        **accountant.budgets._starts(),
    }
    with accountant.database.reading() as connection:
        (row,) = connection.execute(of_request(2), wanted).all()
    assert (row.scope, row.subject, row.drawn) == ("user", "*", "anna")


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (20_000, "20,000"),
        (1e9, "1,000,000,000"),
        (7.3931, "7.393"),
        (5, "5"),
        (0, "0"),
        (2.5e-6, "0.0000025"),
    ],
)
def test_amounts_are_told_without_powers_of_ten(amount: float, told: str) -> None:
    assert figure(amount) == told
