"""The ledger: rows that only grow, and a chain that shows when somebody changed one."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from rag.cost.bookmark import FILE
from rag.cost.ledger import Ending, Entry, Head, Kind, Ledger
from rag.cost.meter import Work, charge
from rag.cost.rates import rates_of
from rag.cost.tables import ledger as rows
from rag.errors import SettingsError
from rag.settings import CostSettings
from rag.store.database import Database
from rag.types import Principal
from tests.rag.cost.conftest import MACHINE, NOON, Clock

RATES = rates_of(MACHINE, CostSettings())


@pytest.fixture
def ledger(database: Database, tmp_path: Path, clock: Clock) -> Ledger:
    return Ledger(database, tmp_path, clock=clock)


def add(ledger: Ledger, count: int = 1) -> Head:
    for number in range(count):
        work = Work(decode_s=0.1 * number + 0.3, prompt_tokens=number)
        entry = Entry(
            Kind.REQUEST,
            NOON + number,
            request_id=f"r{number}",
            tier="small",
            outcome=Ending.OK,
            work=work,
            charge=charge(work, RATES),
            details={"route": "why / ß"},
        )
        with ledger.database.writing() as connection:
            head = ledger.append(connection, entry)
    return head


def test_a_new_ledger_opens_with_a_row_of_its_own_and_holds(ledger: Ledger) -> None:
    head = add(ledger, 5)
    found = ledger.verify()
    assert (found.rows, found.head, found.broken) == (6, head, None)


@pytest.mark.parametrize("column", ["busy_s", "tenant", "details", "at", "external"])
def test_a_changed_row_is_found(ledger: Ledger, column: str) -> None:
    add(ledger, 5)
    with ledger.database.writing() as connection:
        other = "x" if column in ("tenant", "details") else 0.25
        connection.execute(update(rows).where(rows.c.seq == 3).values({column: other}))
    found = ledger.verify()
    assert found.broken == 3 and "changed" in found.problem


def test_a_row_that_was_taken_out_is_missed(ledger: Ledger) -> None:
    add(ledger, 5)
    with ledger.database.writing() as connection:
        connection.execute(delete(rows).where(rows.c.seq == 3))
    assert ledger.verify().problem == "row 3 is missing"


def test_a_row_from_elsewhere_does_not_fit_in(ledger: Ledger) -> None:
    head = add(ledger, 2)
    with ledger.database.writing() as connection:
        copied = dict(connection.execute(select(rows).where(rows.c.seq == 2)).one()._mapping)
        connection.execute(insert(rows).values({**copied, "seq": head.seq + 1, "previous": head.hash}))
    assert ledger.verify().broken == head.seq + 1


def test_newest_rows_that_were_cut_off_show_against_a_head_kept_elsewhere(ledger: Ledger) -> None:
    head = add(ledger, 5)
    with ledger.database.writing() as connection:
        connection.execute(delete(rows).where(rows.c.seq > 4))
    assert ledger.verify().broken is None
    assert ledger.verify(head).problem == f"the rows up to {head.seq} are gone"
    assert ledger.verify(Head(3, "f" * 64)).broken == 3


def test_the_key_is_for_its_owner_only_and_is_made_once(ledger: Ledger, tmp_path: Path) -> None:
    key = tmp_path / "ledger.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    Ledger(ledger.database, tmp_path)
    assert key.read_bytes() == before and len(before) == 32
    assert [file for file in tmp_path.iterdir() if file.name.startswith("ledger.key.")] == []


def test_another_key_is_refused_with_the_way_out(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger.key").write_bytes(b"0" * 32)
    with pytest.raises(SettingsError, match="copy the file from the machine that began it"):
        Ledger(ledger.database, tmp_path)


def test_rows_written_at_once_make_one_chain(ledger: Ledger) -> None:
    threads = [threading.Thread(target=add, args=(ledger, 5)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = ledger.verify()
    assert (found.rows, found.broken) == (31, None)


def test_a_user_stands_in_the_ledger_under_a_pseudonym(ledger: Ledger, tmp_path: Path) -> None:
    anna = Principal(tenant="acme", user="anna@example.org")
    assert ledger.pseudonym(anna) == ledger.pseudonym(anna) == ledger.alias("acme", "anna@example.org")
    assert ledger.pseudonym(anna) != ledger.alias("other", "anna@example.org")
    assert "anna" not in ledger.pseudonym(anna)
    assert ledger.pseudonym(Principal()) == ""


def empty(ledger: Ledger) -> None:
    with ledger.database.writing() as connection:
        connection.execute(delete(rows))


def test_a_ledger_that_was_emptied_does_not_begin_anew_in_silence(ledger: Ledger, tmp_path: Path) -> None:
    head = add(ledger, 5)
    ledger.remember()
    assert ledger.gap() == "" and ledger.verify().broken is None
    empty(ledger)
    again = Ledger(ledger.database, tmp_path)
    assert f"the rows up to {head.seq} are gone" in again.gap()
    add(again, 20)  # beyond where it was: another row has the number now
    again.remember()
    found = Ledger(ledger.database, tmp_path).verify()
    assert f"row {head.seq} is another than it was" in found.problem and found.broken
    (tmp_path / FILE).unlink()  # the way out that was told
    Ledger(ledger.database, tmp_path)
    assert again.verify().broken is None and again.gap() == ""


def test_rows_that_were_cut_off_since_the_home_looked_are_missed(ledger: Ledger, tmp_path: Path) -> None:
    add(ledger, 5)
    Ledger(ledger.database, tmp_path)
    with ledger.database.writing() as connection:
        connection.execute(delete(rows).where(rows.c.seq > 4))
    assert "the rows up to 6 are gone" in ledger.verify().problem


def test_a_ledger_emptied_under_a_process_that_runs_opens_anew_and_is_missed(ledger: Ledger) -> None:
    add(ledger, 3)
    ledger.remember()
    empty(ledger)
    add(ledger, 2)
    with ledger.database.reading() as connection:
        kinds = connection.execute(select(rows.c.kind).order_by(rows.c.seq)).scalars().all()
    assert kinds == ["opening", "request", "request"]
    assert "the rows up to 4 are gone" in ledger.gap()


@pytest.mark.parametrize("told", ["", "nonsense", "7:abc", "\xff"])
def test_a_bookmark_that_is_none_is_told_and_kept(ledger: Ledger, tmp_path: Path, told: str) -> None:
    (tmp_path / FILE).write_bytes(told.encode("latin-1"))
    add(ledger)
    ledger.remember()
    assert "ledger.head in the home is not what was written" in ledger.gap()


def test_the_bookmark_is_for_its_owner_only(ledger: Ledger, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [file for file in tmp_path.iterdir() if file.name.startswith("ledger.head.")] == []
