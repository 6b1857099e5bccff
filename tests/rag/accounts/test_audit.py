from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rag.accounts.accounts import Accounts
from rag.accounts.audit import HEAD_EVERY, Audit, Result
from rag.types import Principal

ANN = Principal(tenant="acme", user="ann", key="k1")


@pytest.fixture
def chain(accounts: Accounts) -> Audit:
    for number in range(HEAD_EVERY + 20):
        accounts.audit.record("documents.delete", ANN, object=f"doc-{number}", request_id=f"r{number}")
    return accounts.audit


@pytest.fixture
def tamper(database: Any) -> Callable[[str], None]:
    """Change the database behind the program's back."""

    def run(statement: str) -> None:
        with database.writing() as connection:
            connection.execute(text(statement))

    return run


def test_a_row_says_who_did_what_to_what_and_how_it_ended(accounts: Accounts, clock: Any) -> None:
    deed = accounts.audit.record(
        "keys.create", ANN, object="k9", outcome=Result.REFUSED, request_id="abc", tenant="globex"
    )
    assert (deed.seq, deed.time, deed.tenant, deed.actor, deed.key) == (1, clock.now, "globex", "ann", "k1")
    assert (deed.action, deed.object, deed.outcome) == ("keys.create", "k9", "refused")
    assert deed.request_id == "abc"
    assert accounts.audit.record("x", Principal()).actor == "owner"


def test_an_untouched_chain_is_whole(chain: Audit) -> None:
    found = chain.verify()
    assert (found.rows, found.heads, found.problem) == (HEAD_EVERY + 20, 1, "")


@pytest.mark.parametrize(
    "column", ["time", "tenant", "actor", "key", "action", "object", "outcome", "request_id", "digest"]
)
def test_an_edit_of_any_field_shows(chain: Audit, tamper: Callable[[str], None], column: str) -> None:
    value = "time + 1" if column == "time" else f"\"{column}\" || 'x'"
    tamper(f'UPDATE audit SET "{column}" = {value} WHERE seq = 57')
    assert chain.verify().problem.startswith("row 57 is not what was written")


def test_a_row_taken_out_shows(chain: Audit, tamper: Callable[[str], None]) -> None:
    tamper("DELETE FROM audit WHERE seq = 30")
    assert chain.verify().problem == "row 30 is missing"


def test_a_row_taken_out_with_the_others_moved_up_shows(chain: Audit, tamper: Callable[[str], None]) -> None:
    tamper("DELETE FROM audit WHERE seq = 30")
    for number in range(31, HEAD_EVERY + 21):
        tamper(f"UPDATE audit SET seq = {number - 1} WHERE seq = {number}")
    assert chain.verify().problem.startswith("row 30 is not what was written, or not in its place")


def test_two_rows_that_changed_places_show(chain: Audit, tamper: Callable[[str], None]) -> None:
    for before, after in ((10, -1), (11, 10), (-1, 11)):
        tamper(f"UPDATE audit SET seq = {after} WHERE seq = {before}")
    assert chain.verify().problem.startswith("row 10 is not what was written")


def test_an_end_that_was_cut_off_before_the_last_head_shows(
    chain: Audit, tamper: Callable[[str], None]
) -> None:
    tamper(f"DELETE FROM audit WHERE seq >= {HEAD_EVERY}")
    assert chain.verify().problem == f"rows behind {HEAD_EVERY - 1} are missing, up to {HEAD_EVERY}"
    tamper("DELETE FROM audit")
    assert "rows behind 0 are missing" in chain.verify().problem


def test_an_end_cut_off_after_the_last_head_does_not_show_and_we_say_so(
    chain: Audit, tamper: Callable[[str], None]
) -> None:
    tamper(f"DELETE FROM audit WHERE seq > {HEAD_EVERY}")
    assert chain.verify().problem == ""
    assert "What was cut off after it does not" in (sys.modules[Audit.__module__].__doc__ or "")


def test_a_chain_that_was_cut_off_and_written_on_shows(chain: Audit, tamper: Callable[[str], None]) -> None:
    tamper(f"DELETE FROM audit WHERE seq > {HEAD_EVERY - 2}")
    for _ in range(5):
        chain.record("documents.delete", ANN)
    assert f"row {HEAD_EVERY} is not the one whose head was exported" in chain.verify().problem


def test_a_chain_written_anew_without_the_pepper_shows(
    chain: Audit, database: Any, tmp_path_factory: pytest.TempPathFactory, tamper: Callable[[str], None]
) -> None:
    tamper("DELETE FROM audit")
    forger = Accounts(database, tmp_path_factory.mktemp("forger"))
    for number in range(HEAD_EVERY + 20):
        forger.audit.record("documents.delete", ANN, object=f"doc-{number}")
    assert forger.audit.verify().problem == ""
    assert chain.verify().problem.startswith("row 1 is not what was written")


def test_heads_that_are_gone_or_damaged_show(chain: Audit) -> None:
    kept = chain.heads.read_text()
    chain.heads.write_text("{")
    assert "audit-heads.jsonl is not what was written" in chain.verify().problem
    chain.heads.unlink()
    assert "audit-heads.jsonl is missing" in chain.verify().problem
    chain.heads.write_text(kept)
    assert chain.verify().problem == ""


def test_a_head_is_exported_every_hundred_rows_and_on_demand(chain: Audit) -> None:
    head = chain.export_head()
    assert head is not None
    lines = [json.loads(line) for line in chain.heads.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [HEAD_EVERY, HEAD_EVERY + 20]
    assert lines[-1]["digest"] == head.digest
    assert chain.heads.stat().st_mode & 0o777 == 0o600


def test_tenants_see_their_own_rows_page_by_page(accounts: Accounts) -> None:
    for tenant in ("acme", "globex") * 3:
        accounts.audit.record("x", Principal(tenant=tenant, user="ann"))
    first = accounts.audit.page(tenant="acme", limit=2)
    rest = accounts.audit.page(tenant="acme", after=first[-1].seq, limit=2)
    assert [row.seq for row in (*first, *rest)] == [1, 3, 5]
    assert [row.seq for row in accounts.audit.latest(tenant="globex", limit=2)] == [4, 6]


WRITER = """
import sys
from pathlib import Path
from rag.accounts.accounts import Accounts
from rag.store.database import Database
home = Path(sys.argv[1])
chain = Accounts(Database(home), home).audit
for number in range(40):
    chain.record("x", sys.argv[2], object=str(number))
"""


def test_several_processes_write_one_chain(accounts: Accounts, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in ("one", "two", "three")]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = accounts.audit.verify()
    assert (found.rows, found.problem) == (120, "")
    assert {row.actor for row in accounts.audit.all()} == {"one", "two", "three"}
