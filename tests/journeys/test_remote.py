"""The command line against a server elsewhere: RAG_URL, a key, and no home here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.evaluation.record import Record
from rag.sdk import AsyncClient, Client, Rag
from rag.store.database import Database
from rag.store.jobs import Jobs
from rag.types import Principal

pytestmark = pytest.mark.model
QUESTIONS = (
    ("q1", "How many days of paid leave do employees have?", "leave.md", "28 days"),
    ("q2", "Up to how many euros is a hotel night paid abroad?", "travel", "190 euros"),
    ("q3", "What do visitors wear?", "", "yellow badge"),
    ("q4", "What is the airspeed of an unladen swallow?", "", ""),
)


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


def test_a_run_is_put_before_others_and_the_audit_log_is_told(server: Any, remote: Any) -> None:
    database = Database(server.home)
    job = Jobs(database).start(Principal(), "default", "", {})
    try:
        done = remote("jobs", "priority", job, "7")
        assert done.returncode == 0 and ", priority 7" in done.stdout, done.stderr
        with Client(server.url) as client:
            assert client.prioritise_job(job, -3).priority == -3
        done = remote("jobs", "priority", job, "5000")
        assert done.returncode == 1 and "1000" in done.stderr and done.stderr.count("\n") == 1
    finally:
        Jobs(database).cancel(job)
        database.close()
    done = remote("jobs", "priority", job, "1")
    assert done.returncode == 1 and "cancelled" in done.stderr
    with Client(server.url) as client:
        deeds = client._http.get("/v1/audit", params={"limit": 1000}).json()["rows"]
    assert [each["action"] for each in deeds if each["object"] == job] == ["jobs.priority"] * 2


@pytest.fixture
def dataset(tmp_path: Path, server: Any) -> Path:
    """Questions about the handbook; what answers them is named by file, by its stem, and by chunk."""
    folder = tmp_path / "about the handbook"
    folder.mkdir()
    with Client(server.url) as client:
        badge = client.search("What do visitors wear?", limit=1)[0].chunk.id
    relevant = {key: row or badge for key, _, row, words in QUESTIONS if words}
    rows = "".join(f"{key}\t{row}\t1\n" for key, row in relevant.items())
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    queries = [{"_id": key, "text": text} for key, text, *_ in QUESTIONS]
    answers = [
        {"_id": key, "answers": [gold] if gold else [], "answerable": bool(gold)}
        for key, *_, gold in QUESTIONS
    ]
    for name, lines in (("queries.jsonl", queries), ("answers.jsonl", answers)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_clients_count_what_is_counted_in_process(server: Any, dataset: Path) -> None:
    def scores(record: Record) -> list[dict[str, Any]]:
        passing = ("seconds", "first word", "cost", "from memory")  # of the hour, and of the way there
        return [{n: s for n, s in one.scores.items() if n not in passing} for one in record.asked]

    async def awaited(**wishes: Any) -> Record:
        async with AsyncClient(server.url) as client:
            return await client.evaluate(dataset, **wishes)

    with Client(server.url) as client, Rag.open(server.home, engine={"context": 2048, "tune": False}) as rag:
        for kind in ("retrieval", "answers"):
            wishes: dict[str, Any] = {"kind": kind, "collection": "default", "tier": "extract"}
            here, there = rag.evaluate(dataset, **wishes), client.evaluate(dataset, **wishes)
            assert scores(here) == scores(there) == scores(asyncio.run(awaited(**wishes)))
            assert here.measures()["hit@1" if kind == "retrieval" else "right"].mean == 1.0
            assert here.bound["model"] == there.bound["model"] and there.bound["server"] == server.url
            assert here.currency == there.currency


def test_a_server_is_measured_from_the_command_line(
    server: Any, remote: Any, dataset: Path, tmp_path: Path
) -> None:
    asked = ("eval", "retrieval", "--dataset", str(dataset))
    done = remote(*asked, "--collection", "default", "--out", str(tmp_path / "run.json"))
    assert done.returncode == 0, done.stderr
    assert f"server {server.url} · " in done.stdout and "collection default" in done.stdout
    assert Record.load(tmp_path / "run.json").measures()["hit@1"].mean == 1.0
    done = remote("eval", "answers", "--dataset", str(dataset), "--collection", "default", "--tier", "huge")
    assert done.returncode == 2 and "no model 'huge'; have auto, extract, small" in done.stderr


def test_what_is_not_measured_at_a_server_is_said(remote: Any, dataset: Path) -> None:
    done = remote("eval", "answers", "--dataset", str(dataset))
    assert done.returncode == 2 and "--collection NAME, of default" in done.stderr
    done = remote("eval", "retrieval", "--dataset", str(dataset), "--collection", "moon")
    assert done.returncode == 2 and "no collection 'moon' at http" in done.stderr
    done = remote("eval", "make-golden", "--out", str(dataset))
    assert done.returncode == 2 and "run it there, without --url" in done.stderr
    done = remote("eval", "quantisation", "--dataset", str(dataset), "--reference", "smollm2-135m-instruct")
    assert done.returncode == 2 and "only retrieval and answers are measured" in done.stderr


def test_the_doctor_looks_at_the_server(remote: Any) -> None:
    done = remote("doctor", "--json")
    found = {each["what"]: each for each in json.loads(done.stdout)}
    assert found["ready"]["good"] and found["status"]["good"]
    assert done.returncode == (0 if all(each["good"] for each in found.values()) else 1)
