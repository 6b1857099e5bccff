"""The command line against a server elsewhere: RAG_URL, a key, and no home here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model


@pytest.fixture
def remote(server: Any, command: Any, tmp_path: Path) -> Callable[..., Any]:
    """Run `rag` on a machine without a home."""

    def run(*arguments: str, **extra: str) -> Any:
        done = command(tmp_path / "no home", *arguments, RAG_URL=server.url, **extra)
        assert not (tmp_path / "no home").exists()
        return done

    return run


def test_questions_are_answered_by_the_server(remote: Any) -> None:
    done = remote("ask", "What do visitors wear?", "--tier", "extract", "--json")
    assert done.returncode == 0, done.stderr
    assert "yellow badge" in json.loads(done.stdout)["answer"]
    done = remote("search", "hotel night abroad", "--json", "--limit", "1")
    assert "190 euros" in json.loads(done.stdout)[0]["chunk"]["text"]


def test_a_chat_understands_what_was_said_before(server: Any, command: Any, tmp_path: Path) -> None:
    turns = "How much is the Drill D20?\nAnd its warranty?\n/new\n\n/exit\nnever asked\n"
    done = command(
        tmp_path / "no home", "chat", "--json", "--tier", "extract", RAG_URL=server.url, standard_input=turns
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert "129 euros" in answers[0]["answer"]
    assert "24 months" in answers[1]["answer"]
    assert len(answers) == 2


def test_files_are_handed_in_listed_and_forgotten(remote: Any, tmp_path: Path) -> None:
    folder = tmp_path / "canteen"
    (folder / "berlin").mkdir(parents=True)
    (folder / "hours.md").write_text("# Canteen\n\nThe canteen in Hamburg opens at 11:40.\n")
    (folder / "berlin" / "hours.md").write_text("# Canteen\n\nThe canteen in Berlin opens at 11:50.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    done = remote("ingest", str(folder), "--collection", "canteen", "--json")
    assert done.returncode == 3, done.stderr
    documents = {each["uri"].rpartition("/")[2]: each for each in json.loads(done.stdout)}
    assert sorted(each["state"] for each in documents.values()) == ["live", "live", "quarantined"]

    status = json.loads(remote("status", "--json").stdout)
    assert status["states"]["quarantined"] >= 1
    assert any("broken.pdf" in each["uri"] for each in status["quarantined"])
    runs = json.loads(remote("jobs", "--json").stdout)
    assert runs[0]["collection"] == "canteen"
    assert remote("jobs", "show", runs[0]["id"]).stdout.startswith(runs[0]["id"])
    assert "11:50" in remote("ask", "When does the canteen in Berlin open?", "--tier", "extract").stdout

    for document in documents.values():
        assert remote("rm", document["id"]).returncode == 0
    again = remote("rm", runs[0]["id"])
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)


def test_the_doctor_looks_at_the_server(remote: Any) -> None:
    done = remote("doctor", "--json")
    found = {each["what"]: each for each in json.loads(done.stdout)}
    assert found["ready"]["good"] and found["status"]["good"]
    assert done.returncode == (0 if all(each["good"] for each in found.values()) else 1)
