"""`rag keys`, `users`, `groups`, `tenants` and `audit`, on a home of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from rag.accounts.accounts import Accounts
from rag.accounts.cli import register
from rag.errors import BadRequest, RagError
from rag.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, database: Any) -> Run:
    """Run a command; what it raises of ours is raised."""
    app = typer.Typer()

    @app.callback()
    def options(context: typer.Context) -> None:
        context.meta["settings"] = Settings(home=tmp_path)

    register(app)

    def run(*arguments: str) -> Result:
        done = CliRunner().invoke(app, list(arguments))
        if isinstance(done.exception, RagError):
            raise done.exception
        return done

    return run


def test_a_key_is_printed_once_and_works(run: Run, accounts: Accounts) -> None:
    done = run("keys", "create", "laptop", "--user", "ann", "--role", "contributor", "--group", "legal")
    shown = done.stdout.strip()
    assert "cannot be shown again" in done.stderr
    holder = accounts.keys.holder(shown)
    assert (holder.user, holder.groups) == ("ann", ("legal",))
    listed = run("keys", "list").stdout
    assert holder.key in listed and shown not in listed
    assert run("keys", "revoke", holder.key).exit_code == 0
    with pytest.raises(RagError, match="was revoked"):
        accounts.keys.holder(shown)
    assert "revoked" in run("keys", "list").stdout


def test_a_key_for_a_user_who_is_there_is_limited_and_ends(run: Run, accounts: Accounts, clock: Any) -> None:
    run("keys", "create", "first", "--user", "ann", "--group", "legal", "--group", "sales")
    options = ("--group", "sales", "--right", "ask", "--collection", "handbook", "--days", "7", "--json")
    clock.now = time.time()  # the command goes by the real one
    made = json.loads(run("keys", "create", "second", "--user", "ann", *options).stdout)
    assert made["about"]["groups"] == ["sales"] and made["about"]["expires_at"]
    holder = accounts.keys.holder(made["key"])
    assert (holder.groups, holder.collections) == (("sales",), ("handbook",))


def test_a_key_that_could_do_nothing_is_not_made(run: Run, accounts: Accounts) -> None:
    with pytest.raises(BadRequest, match="'ann' is a reader, who has the rights ask"):
        run("keys", "create", "x", "--user", "ann", "--right", "admin")
    assert accounts.users.named("ann", "default") is None
    assert "rag keys create" in run("keys", "list").stderr


def test_users_are_suspended_let_in_and_given_another_role(run: Run, accounts: Accounts) -> None:
    shown = run("keys", "create", "laptop", "--user", "ann").stdout.strip()
    run("users", "suspend", "ann")
    with pytest.raises(RagError, match="suspended"):
        accounts.keys.holder(shown)
    assert "suspended" in run("users", "list").stdout
    run("users", "resume", "ann")
    run("users", "role", "ann", "curator")
    (user,) = json.loads(run("users", "list", "--json").stdout)
    assert (user["role"], user["suspended"], user["groups"]) == ("curator", False, ["everyone"])
    with pytest.raises(RagError, match="rag users list shows"):
        run("users", "suspend", "nobody")


def test_members_come_and_go(run: Run, accounts: Accounts) -> None:
    shown = run("keys", "create", "laptop", "--user", "ann").stdout.strip()
    run("groups", "add", "legal", "ann")
    assert accounts.keys.holder(shown).groups == ("everyone", "legal")
    assert "default/legal  ann" in run("groups", "list").stdout
    run("groups", "remove", "legal", "ann")
    assert accounts.keys.holder(shown).groups == ("everyone",)
    groups = json.loads(run("groups", "list", "--json").stdout)
    assert [(group["name"], len(group["members"])) for group in groups] == [("everyone", 1), ("legal", 0)]
    with pytest.raises(RagError, match="rag groups list shows"):
        run("groups", "remove", "other", "ann")


def test_a_tenant_gets_limits_of_its_own(run: Run, accounts: Accounts) -> None:
    assert json.loads(run("tenants", "limit", "acme", "--documents", "9").stdout)["documents"] == 9
    assert accounts.tenants.quota("acme").documents == 9


def test_what_the_owner_did_is_in_the_log_and_an_edit_shows(
    run: Run, accounts: Accounts, database: Any, tmp_path: Path
) -> None:
    run("keys", "create", "laptop", "--user", "ann")
    run("users", "suspend", "ann")
    rows = json.loads(run("audit", "log", "--json").stdout)
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("command line", "keys.create"),
        ("command line", "users.suspend"),
    ]
    assert "users.suspend ann  done" in run("audit", "log").stdout
    file = tmp_path / "rows.jsonl"
    assert "2 rows written" in run("audit", "export", str(file)).stdout
    assert [json.loads(line)["seq"] for line in file.read_text().splitlines()] == [1, 2]
    good = run("audit", "verify")
    assert (good.exit_code, good.stdout) == (0, "3 rows are as they were written; 1 heads agree\n")
    with database.writing() as connection:
        connection.execute(text("UPDATE audit SET actor = 'somebody' WHERE seq = 2"))
    bad = run("audit", "verify", "--json")
    assert (bad.exit_code, json.loads(bad.stdout)["problem"][:6]) == (1, "row 2 ")
