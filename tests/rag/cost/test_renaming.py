"""Budgets follow a user or a group to a new name; who gets the old name finds none of them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from rag.accounts.groups import Groups
from rag.accounts.users import Users
from rag.cost.accountant import Accountant
from rag.cost.budget import Budget, Scope, Span, Unit
from rag.cost.guardrail import Plan
from rag.cost.ledger import Kind
from rag.cost.meter import Work
from rag.cost.renaming import follow
from rag.cost.tables import ledger
from rag.errors import BudgetExceeded
from rag.settings import BudgetSettings
from rag.types import Principal
from tests.rag.cost.conftest import Books, Clock


def renamed(accountant: Accountant, old: str, new: str) -> None:
    users = Users(accountant.database)
    found = users.named(old, "default") or users.create(old, "default")
    users.change(found.id, "default", name=new)


def open_to(accountant: Accountant, name: str) -> bool:
    """Whether a request of two seconds at most is let in."""
    try:
        accountant.open(Principal(user=name), tier="small", max_tokens=32).settle(Work(decode_s=0.1))
    except BudgetExceeded:
        return False
    return True


def spent(accountant: Accountant) -> dict[tuple[str, str], tuple[float, float]]:
    return {
        (each.budget.id, each.subject): (round(each.spent, 1), each.reserved)
        for each in accountant.budgets.standing()
    }


def test_the_budget_of_a_renamed_user_goes_with_him_and_not_to_whom_gets_his_name(books: Books) -> None:
    accountant = books()
    tiny = Budget("default", Scope.USER, "anna", Span.DAY, Unit.SECONDS, 1)
    accountant.set_budget(Principal(), tiny)
    assert not open_to(accountant, "anna")
    renamed(accountant, "anna", "berta")
    Users(accountant.database).create("anna", "default")
    assert open_to(accountant, "anna")
    assert not open_to(accountant, "berta")


def test_what_a_renamed_user_spent_of_everybodys_budget_goes_with_him(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="user", unit="seconds", period="day", limit=40)])
    accountant.open(Principal(user="anna"), tier="small", max_tokens=2).settle(Work(decode_s=39))
    renamed(accountant, "anna", "berta")
    assert spent(accountant) == {("default:user:*:day:seconds", "berta"): (39.0, 0)}
    assert open_to(accountant, "anna")
    assert not open_to(accountant, "berta")


def test_a_request_under_way_is_settled_under_the_new_name(books: Books) -> None:
    accountant = books()
    for subject in ("anna", "*"):
        budget = Budget("default", Scope.USER, subject, Span.DAY, Unit.SECONDS, 100)
        accountant.set_budget(Principal(), budget)
    ticket = accountant.open(Principal(user="anna"), tier="small", prompt_tokens=10, max_tokens=20)
    renamed(accountant, "anna", "berta")
    accountant.narrow(ticket, Plan("small", 5, 20))
    assert all(reserved > 0 for _, reserved in spent(accountant).values())
    ticket.settle(Work(decode_s=3))
    assert spent(accountant) == {
        ("default:user:berta:day:seconds", "berta"): (3.0, 0),
        ("default:user:*:day:seconds", "berta"): (3.0, 0),
    }


def test_a_budget_of_rag_toml_stays_with_a_renamed_user_after_a_restart(books: Books) -> None:
    of_file = BudgetSettings(scope="user", subject="anna", unit="seconds", period="day", limit=1)
    accountant = books(budgets=[of_file])
    renamed(accountant, "anna", "berta")
    again = books(budgets=[of_file])
    assert not open_to(again, "berta")
    assert not open_to(again, "anna")  # the file says so


def test_a_budget_that_waits_under_the_new_name_stays_and_counts_what_was_spent(books: Books) -> None:
    accountant = books()
    for subject, limit in (("anna", 50), ("berta", 60)):
        budget = Budget("default", Scope.USER, subject, Span.DAY, Unit.SECONDS, limit)
        accountant.set_budget(Principal(), budget)
    accountant.open(Principal(user="anna"), tier="small", max_tokens=2).settle(Work(decode_s=5))
    renamed(accountant, "anna", "berta")
    (left,) = accountant.budgets.standing()
    assert (left.budget.subject, left.limit, round(left.spent)) == ("berta", 60, 5)


def test_the_same_name_again_takes_nothing_away(books: Books) -> None:
    accountant = books()
    accountant.set_budget(Principal(), Budget("default", Scope.USER, "anna", Span.DAY, Unit.SECONDS, 9))
    renamed(accountant, "anna", "anna")
    assert [each.budget.subject for each in accountant.budgets.standing()] == ["anna"]


def test_the_budget_of_a_renamed_group_goes_with_it(books: Books) -> None:
    accountant = books()
    accountant.set_budget(Principal(), Budget("default", Scope.GROUP, "sales", Span.DAY, Unit.SECONDS, 1))
    groups = Groups(accountant.database)
    groups.change(groups.create("sales", "default").id, "default", name="trade")
    with pytest.raises(BudgetExceeded):
        accountant.open(Principal(groups=("trade",)), tier="small", max_tokens=32)
    accountant.open(Principal(groups=("sales",)), tier="small", max_tokens=32).settle()


def seconds(accountant: Accountant, name: str) -> int:
    lines = accountant.usage(Principal(user=name))
    return round(sum(line.busy_s for line in lines))


def test_what_a_renamed_user_used_stays_his_and_is_not_shown_to_whom_gets_his_name(books: Books) -> None:
    accountant = books()
    accountant.open(Principal(user="anna"), tier="small").settle(Work(decode_s=3))
    renamed(accountant, "anna", "berta")
    Users(accountant.database).create("anna", "default")
    assert (seconds(accountant, "anna"), seconds(accountant, "berta")) == (0, 3)
    for name, took in (("anna", 10), ("berta", 20)):
        accountant.open(Principal(user=name), tier="small").settle(Work(decode_s=took))
    assert (seconds(accountant, "anna"), seconds(accountant, "berta")) == (10, 23)
    renamed(accountant, "berta", "carla")
    renamed(accountant, "anna", "berta")  # she takes over a name that is free again
    assert (seconds(accountant, "berta"), seconds(accountant, "carla")) == (10, 23)
    renamed(accountant, "carla", "anna")  # and the first one has her first name back
    assert (seconds(accountant, "anna"), seconds(accountant, "carla")) == (23, 0)
    assert accountant.ledger.verify().broken is None


@pytest.mark.parametrize("rises", [False, True])
def test_what_a_renamed_user_has_under_way_is_booked_as_his(books: Books, *, rises: bool) -> None:
    accountant = books()
    ticket = accountant.open(Principal(user="anna"), tier="small", max_tokens=2)
    renamed(accountant, "anna", "berta")
    Users(accountant.database).create("anna", "default")
    if rises:
        accountant.rise(ticket, Plan("large", 10, 20), Principal(user="anna"), None)
    ticket.settle(Work(decode_s=7))
    assert (seconds(accountant, "anna"), seconds(accountant, "berta")) == (0, 7)


def test_the_ledger_tells_of_a_new_name_without_any_name(books: Books) -> None:
    accountant = books()
    renamed(accountant, "anna", "berta")
    with accountant.database.reading() as connection:
        row = connection.execute(select(ledger).where(ledger.c.kind == Kind.CHANGE)).one()
    assert "renamed" in row.details and "anna" not in repr(row) and "berta" not in repr(row)


def test_a_request_of_two_groups_that_become_one_gives_back_all_and_counts_once(books: Books) -> None:
    accountant = books(budgets=[BudgetSettings(scope="group", unit="seconds", limit=100)])
    ticket = accountant.open(Principal(groups=("sales", "trade")), tier="small", max_tokens=20)
    with accountant.database.writing() as connection:
        follow(connection, Scope.GROUP, "default", "sales", "trade")
    ticket.settle(Work(decode_s=3))
    assert spent(accountant) == {("default:group:*:month:seconds", "trade"): (3.0, 0)}


def test_what_was_swept_up_before_it_rises_holds_what_it_asks_for_then(books: Books, clock: Clock) -> None:
    accountant = books(budgets=[BudgetSettings(scope="tenant", unit="seconds", limit=100)])
    ticket = accountant.open(Principal(), tier="extract", max_tokens=2)
    clock.now += 10_000
    assert accountant.sweep() == 1
    accountant.rise(ticket, Plan("small", 10, 20), Principal(), None)
    assert accountant.budgets.standing()[0].reserved > 0
    ticket.settle(Work(decode_s=2))
    (left,) = accountant.budgets.standing()
    assert (left.reserved, round(left.spent)) == (0, 2)
