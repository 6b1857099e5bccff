from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rag.accounts.accounts import Accounts
from rag.accounts.keys import WRONG, Limits
from rag.accounts.pepper import Pepper
from rag.accounts.roles import Role
from rag.errors import AlreadyExists, BadRequest, NotFound, Unauthorised
from rag.types import Right


def test_a_key_stands_for_its_user_with_role_and_groups(accounts: Accounts) -> None:
    _, shown = accounts.issue("ann", "acme", "laptop", role=Role.CURATOR, groups=("legal", "sales"))
    holder = accounts.keys.holder(shown)
    assert (holder.tenant, holder.user, holder.groups) == ("acme", "ann", ("legal", "sales"))
    assert holder.rights == {Right.ASK, Right.WRITE, Right.CURATE}
    assert holder.collections is None


def test_a_new_user_is_in_everyone_unless_groups_are_named(accounts: Accounts) -> None:
    _, shown = accounts.issue("ann", "acme", "laptop")
    assert accounts.keys.holder(shown).groups == ("everyone",)


def test_a_key_has_256_random_bits_and_its_secret_is_stored_nowhere(
    accounts: Accounts, tmp_path: Path
) -> None:
    key, shown = accounts.issue("ann", "acme", "laptop")
    prefix, key_id, secret = shown.split("_", 2)
    assert (prefix, key_id) == ("rag", key.id)
    assert re.fullmatch(r"[\w-]{43}", secret)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert key_id.encode() in stored
    assert secret.encode() not in stored


def test_the_database_alone_opens_nothing_without_the_pepper(
    accounts: Accounts, database: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, shown = accounts.issue("ann", "acme", "laptop")
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600
    elsewhere = Accounts(database, tmp_path_factory.mktemp("thief"))
    with pytest.raises(Unauthorised):
        elsewhere.keys.holder(shown)


def test_an_unknown_and_a_wrong_key_get_the_same_words(accounts: Accounts) -> None:
    _, shown = accounts.issue("ann", "acme", "laptop")
    told = set()
    for wrong in (shown[:-1] + ("a" if shown[-1] != "a" else "b"), "rag_000000000000_x", "rag_", shown + "a"):
        with pytest.raises(Unauthorised) as error:
            accounts.keys.holder(wrong)
        told.add(error.value.message)
    assert told == {WRONG}


def test_a_revoked_key_is_refused_at_once_and_others_of_the_user_work(accounts: Accounts) -> None:
    key, shown = accounts.issue("ann", "acme", "laptop")
    _, other = accounts.issue("ann", "acme", "phone")
    accounts.keys.revoke(key.id)
    with pytest.raises(Unauthorised, match="was revoked"):
        accounts.keys.holder(shown)
    assert accounts.keys.holder(other).user == "ann"


def test_a_key_ends_at_its_time(accounts: Accounts, clock: Any) -> None:
    _, shown = accounts.issue("ann", "acme", "laptop", limits=Limits(expires_at=clock.now + 60))
    accounts.keys.holder(shown)
    clock.now += 60
    with pytest.raises(Unauthorised, match="has expired"):
        accounts.keys.holder(shown)
    with pytest.raises(BadRequest, match="expired already"):
        accounts.issue("ann", "acme", "laptop", limits=Limits(expires_at=clock.now))


def test_a_key_never_outlives_the_suspension_of_its_user(accounts: Accounts) -> None:
    _, shown = accounts.issue("ann", "acme", "laptop")
    ann = accounts.users.named("ann", "acme")
    assert ann is not None
    accounts.users.suspend(ann.id, "acme")
    with pytest.raises(Unauthorised, match="suspended"):
        accounts.keys.holder(shown)
    accounts.users.resume(ann.id, "acme")
    assert accounts.keys.holder(shown).user == "ann"


def test_a_key_may_do_less_than_its_user_and_never_more(accounts: Accounts) -> None:
    accounts.issue("ann", "acme", "first", role=Role.CONTRIBUTOR, groups=("legal", "sales"))
    limits = Limits(frozenset({Right.ASK, Right.ADMIN}), ["sales", "secret"], ["handbook"])
    _, shown = accounts.issue("ann", "acme", "second", limits=limits)
    holder = accounts.keys.holder(shown)
    assert holder.rights == {Right.ASK}
    assert holder.groups == ("sales",)
    assert holder.collections == ("handbook",)


def test_leaving_a_group_shuts_a_key_that_is_limited_to_it_too(accounts: Accounts) -> None:
    accounts.issue("ann", "acme", "first", groups=("legal", "sales"))
    _, shown = accounts.issue("ann", "acme", "second", limits=Limits(groups=["sales"]))
    sales, ann = accounts.groups.named("sales", "acme"), accounts.users.named("ann", "acme")
    assert sales and ann
    accounts.groups.change(sales.id, "acme", remove=[ann.id])
    assert accounts.keys.holder(shown).groups == ()


def test_a_key_does_not_change_the_role_of_a_user(accounts: Accounts) -> None:
    accounts.issue("ann", "acme", "first", role=Role.READER)
    with pytest.raises(AlreadyExists, match="role 'reader'"):
        accounts.issue("ann", "acme", "second", role=Role.ADMIN)


def test_the_last_use_is_written_at_most_once_a_minute(accounts: Accounts, clock: Any) -> None:
    key, _ = accounts.issue("ann", "acme", "laptop")
    seen = []
    for _ in range(4):
        accounts.keys.used(key.id)
        seen.append(accounts.keys.all()[0].used_at)
        clock.now += 25
    assert seen == [clock.now - 100, clock.now - 100, clock.now - 100, clock.now - 25]


def test_a_key_of_another_tenant_is_not_there(accounts: Accounts) -> None:
    key, shown = accounts.issue("ann", "acme", "laptop")
    assert accounts.keys.all("globex") == []
    with pytest.raises(NotFound):
        accounts.keys.revoke(key.id, "globex")
    assert accounts.keys.holder(shown).tenant == "acme"


def test_a_server_stays_guarded_after_its_last_key_was_revoked(accounts: Accounts) -> None:
    assert not accounts.keys.any()
    key, _ = accounts.issue("ann", "acme", "laptop")
    accounts.keys.revoke(key.id)
    assert accounts.keys.any()


def test_a_damaged_pepper_is_named_and_not_replaced(
    accounts: Accounts, database: Any, tmp_path: Path
) -> None:
    os.truncate(tmp_path / "pepper", 5)
    with pytest.raises(Exception, match="holds 5 bytes, not 32: restore it"):
        Accounts(database, tmp_path)


def test_unknown_and_wrong_keys_take_the_same_way(accounts: Accounts, database: Any) -> None:
    """Both look up one row, count groups and compare one digest: the statements are the same."""
    from sqlalchemy import event

    _, shown = accounts.issue("ann", "acme", "laptop")
    seen: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *each: seen.append(each[2]))
    ways = []
    for wrong in (shown + "x", "rag_ffffffffffff_x"):
        seen.clear()
        with pytest.raises(Unauthorised):
            accounts.keys.holder(wrong)
        ways.append(list(seen))
    assert ways[0] == ways[1] and len(ways[0]) >= 2
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM keys")).scalar() == 1


def test_processes_that_start_at_once_share_one_pepper(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Pepper.of(tmp_path).digest("x", b"y"), range(8)))
    assert len(set(made)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["pepper"]
