from __future__ import annotations

import pytest

from rag.accounts.accounts import Accounts
from rag.accounts.names import is_plain
from rag.accounts.roles import RIGHTS, Role, check_grant, rights, role
from rag.errors import AlreadyExists, BadRequest, Forbidden, NotFound
from rag.types import Principal, Right


@pytest.fixture
def ids(accounts: Accounts) -> dict[str, str]:
    return {name: accounts.users.create(name, "acme").id for name in ("ann", "bo", "cy")}


def names(accounts: Accounts, group: str) -> list[str]:
    found = accounts.groups.named(group, "acme")
    assert found is not None
    return [member.name for member in found.members]


def test_members_come_and_go(accounts: Accounts, ids: dict[str, str]) -> None:
    group = accounts.groups.create("sales", "acme", user_ids=[ids["ann"]])
    accounts.groups.change(group.id, "acme", add=[ids["bo"], ids["bo"], ids["ann"]], remove=["nobody"])
    assert names(accounts, "sales") == ["ann", "bo"]
    accounts.groups.change(group.id, "acme", remove=[ids["ann"]])
    assert names(accounts, "sales") == ["bo"]
    accounts.groups.change(group.id, "acme", only=[ids["ann"], ids["cy"]])
    assert names(accounts, "sales") == ["ann", "cy"]


def test_a_change_with_a_member_that_there_is_not_changes_nothing(
    accounts: Accounts, ids: dict[str, str]
) -> None:
    group = accounts.groups.create("sales", "acme", user_ids=[ids["ann"]])
    with pytest.raises(NotFound, match="no user 'nobody'"):
        accounts.groups.change(group.id, "acme", name="other", only=["nobody"])
    assert names(accounts, "sales") == ["ann"]


def test_a_user_of_another_tenant_cannot_be_a_member(accounts: Accounts, ids: dict[str, str]) -> None:
    group = accounts.groups.create("sales", "globex")
    with pytest.raises(NotFound):
        accounts.groups.change(group.id, "globex", add=[ids["ann"]])
    with pytest.raises(NotFound):
        accounts.groups.change(group.id, "acme", add=[ids["ann"]])


def test_two_groups_of_a_tenant_cannot_share_a_name(accounts: Accounts) -> None:
    accounts.groups.create("sales", "acme")
    legal = accounts.groups.create("legal", "acme")
    for taken in (
        lambda: accounts.groups.create("sales", "acme"),
        lambda: accounts.groups.change(legal.id, "acme", name="sales"),
    ):
        with pytest.raises(AlreadyExists, match="a group 'sales'"):
            taken()
    assert accounts.groups.create("sales", "globex").tenant == "globex"


def test_a_group_that_is_deleted_leaves_its_members_without_it(
    accounts: Accounts, ids: dict[str, str]
) -> None:
    group = accounts.groups.create("sales", "acme", user_ids=[ids["ann"]])
    accounts.groups.delete(group.id, "acme")
    assert accounts.users.groups(ids["ann"]) == ()
    assert accounts.groups.named("sales", "acme") is None


def test_one_name_in_two_unicode_forms_is_one_group(accounts: Accounts) -> None:
    accounts.groups.create("caf\u00e9", "acme")
    assert accounts.groups.named("cafe\u0301", "acme") is not None
    with pytest.raises(AlreadyExists):
        accounts.groups.create("cafe\u0301", "acme")


@pytest.mark.parametrize(
    "name", ["", " sales", "sales\nlegal", "a\x1fb", "x" * 201, "\u202esales", "a\ud800"]
)
def test_a_name_that_could_pass_for_another_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be the name of a group"):
        accounts.groups.create(name, "acme")
    assert not is_plain(name)


def test_users_are_one_a_name_and_tenant(accounts: Accounts, ids: dict[str, str]) -> None:
    with pytest.raises(AlreadyExists):
        accounts.users.create("ann", "acme")
    assert accounts.users.create("ann", "globex").id != ids["ann"]
    with pytest.raises(AlreadyExists):
        accounts.users.change(ids["bo"], "acme", name="ann")
    with pytest.raises(NotFound):
        accounts.users.suspend(ids["ann"], "globex")


def test_roles_are_sets_of_rights_and_only_an_admin_has_them_all() -> None:
    assert set(RIGHTS) == set(Role)
    assert [each for each in Role if RIGHTS[each] == frozenset(Right)] == [Role.ADMIN]
    assert RIGHTS[Role.AUDITOR] == {Right.AUDIT}


def test_unknown_roles_and_rights_are_told_which_there_are() -> None:
    with pytest.raises(BadRequest, match="no role 'king'; have reader, contributor"):
        role("king")
    with pytest.raises(BadRequest, match="have ask, write"):
        rights(["fly"])


def test_nobody_grants_what_he_has_not() -> None:
    half = Principal(rights=frozenset({Right.ADMIN, Right.ASK}))
    check_grant(half, frozenset({Right.ASK}))
    with pytest.raises(Forbidden, match="'write'"):
        check_grant(half, RIGHTS[Role.CONTRIBUTOR])
