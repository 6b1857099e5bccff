from __future__ import annotations

import socket

import pytest

from rag.api.server import bind, refuse_open_door, url_of
from rag.errors import SettingsError
from rag.settings import ServerSettings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "server.example"])
def test_without_a_key_it_does_not_listen_beyond_this_machine(host: str) -> None:
    with pytest.raises(SettingsError, match=r"set server\.api_key"):
        refuse_open_door(ServerSettings(host=host))
    refuse_open_door(ServerSettings(host=host, api_key="k"))


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
