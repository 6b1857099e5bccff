from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rag.accounts.accounts import Accounts
from rag.accounts.authentication import Authentication
from rag.accounts.roles import Role
from rag.api import address
from rag.api.server import DEMO, bind, door_note, record_start, url_of
from rag.errors import AlreadyExists, SettingsError
from rag.settings import ServerSettings, Settings
from rag.store.database import Database
from rag.types import Principal, Right


@pytest.fixture
def accounts(tmp_path: Path) -> Any:
    database = Database(tmp_path)
    yield Accounts(database, tmp_path)
    database.close()


def note(accounts: Accounts, **settings: Any) -> str:
    server = ServerSettings(**settings)
    return door_note(server, Authentication(server, Principal(), accounts))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "server.example"])
def test_beyond_this_machine_the_first_start_makes_an_administrators_key_and_tells_it_once(
    host: str, accounts: Accounts
) -> None:
    told = note(accounts, host=host)
    shown = told.split()[-1]
    holder = accounts.keys.holder(shown)
    assert (holder.user, holder.rights) == ("admin", frozenset(Right))
    assert note(accounts, host=host) == ""
    assert [row.action for row in accounts.audit.latest()] == ["keys.create"]


def test_of_servers_that_start_at_the_same_moment_one_tells_a_key(accounts: Accounts) -> None:
    server = ServerSettings(host="0.0.0.0")
    authentication = Authentication(server, Principal(), accounts)
    with ThreadPoolExecutor(8) as pool:
        notes = list(pool.map(lambda _: door_note(server, authentication), range(8)))
    assert sum(bool(note) for note in notes) == len(accounts.keys.all()) == 1


def test_a_first_key_that_was_cut_short_is_made_at_the_next_start(accounts: Accounts) -> None:
    accounts.users.create("admin", "default", role=Role.ADMIN)  # and there the machine went down
    assert accounts.keys.holder(note(accounts, host="0.0.0.0").split()[-1]).user == "admin"


def test_a_reader_called_admin_gets_no_administrators_key(accounts: Accounts) -> None:
    accounts.users.create("admin", "default")
    with pytest.raises(AlreadyExists, match="'reader'"):
        note(accounts, host="0.0.0.0")
    assert not accounts.keys.any()


def test_on_this_machine_it_says_that_everybody_here_may_come_in(accounts: Accounts) -> None:
    assert note(accounts) == DEMO
    assert not accounts.keys.any()
    accounts.issue("ann", "default", "laptop")
    assert note(accounts) == ""


def test_with_a_key_in_the_settings_nothing_is_made_or_told(accounts: Accounts) -> None:
    assert note(accounts, host="0.0.0.0", api_key="k") == note(accounts, api_key="k") == ""
    assert not accounts.keys.any()


def test_the_owners_commands_find_a_token_that_only_he_can_read(tmp_path: Path, service: Any) -> None:
    service.accounts.issue("ann", "default", "laptop")
    file = address.publish(tmp_path, service.url, "the-instance", service.authentication.owner_token)
    assert file.stat().st_mode & 0o777 == 0o600
    shown = {"authorization": f"Bearer {address.token(tmp_path)}"}
    assert service.http.get("/v1/whoami").status_code == 401
    assert service.http.get("/v1/whoami", headers=shown).json()["owner"] is True
    address.withdraw(tmp_path, "the-instance")
    assert address.token(tmp_path) == ""


def test_a_start_with_other_settings_shows_in_the_audit_log(accounts: Accounts) -> None:
    for settings in (Settings(), Settings(), Settings(limits={"requests_per_minute": 5})):
        record_start(settings, accounts)
    rows = accounts.audit.latest()
    assert {row.action for row in rows} == {"server.start"}
    assert rows[0].object == rows[1].object != rows[2].object


def test_a_taken_port_is_told_in_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            bind(ServerSettings(port=port))


def test_the_address_of_a_server_for_everybody_is_one_that_this_machine_can_use() -> None:
    with bind(ServerSettings(host="0.0.0.0", port=0)) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
