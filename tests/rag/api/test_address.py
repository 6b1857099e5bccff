from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rag.api import address


def test_a_running_server_is_found_through_its_home(service: Any, tmp_path: Path) -> None:
    address.publish(tmp_path, service.url, "the-instance")
    assert address.find(tmp_path) == service.url


def test_a_server_that_was_killed_counts_as_none(tmp_path: Path) -> None:
    address.publish(tmp_path, "http://127.0.0.1:1", "gone")
    assert address.find(tmp_path) is None


def test_another_program_on_the_port_counts_as_none(service: Any, tmp_path: Path) -> None:
    address.publish(tmp_path, service.url, "an-older-instance")
    assert address.find(tmp_path) is None


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    for content in ("", "{", "[]", json.dumps({"url": "http://127.0.0.1:1"})):
        (tmp_path / address.FILE).write_text(content)
        assert address.find(tmp_path) is None


def test_a_server_withdraws_its_own_address_only(tmp_path: Path) -> None:
    file = address.publish(tmp_path, "http://127.0.0.1:1", "newer")
    address.withdraw(tmp_path, "older")
    assert file.exists()
    address.withdraw(tmp_path, "newer")
    assert not file.exists()
