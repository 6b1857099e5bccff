"""`rag serve` as its users meet it: openai's own client, ours, the command line, LangChain."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from rag.integrations.langchain import ChatPermafrost, PermafrostRetriever
from rag.sdk import Client
from rag.types import Outcome

pytestmark = pytest.mark.model
LEAVE = "How many days of paid leave do employees have?"


@pytest.fixture
def openai(server: Any) -> Any:
    with OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=120) as client:
        yield client


def test_the_openai_client_gets_a_cited_answer(openai: OpenAI) -> None:
    reply = openai.chat.completions.create(model="auto", messages=[{"role": "user", "content": LEAVE}])
    assert "28 days" in (reply.choices[0].message.content or "")
    rag = reply.model_extra["rag"]
    assert rag["outcome"] in ("answered", "quoted")
    assert any("28 days" in citation["quote"] for citation in rag["citations"])
    assert rag["citations"][0]["section"]
    assert rag["cost"]["amount"] > 0


def test_the_openai_client_streams_the_text_of_the_whole_answer(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(
            model="small",
            messages=[{"role": "user", "content": LEAVE}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "28 days" in text
    rag = chunks[-2].model_extra["rag"]
    assert rag["tier"] == "small"
    assert "[1]" in text and rag["citations"][0]["marker"] == 1
    # An answer that was given before takes no token of the model.
    assert (chunks[-1].usage.completion_tokens > 0) is not (rag.get("cached") == "exact")


def test_a_quote_is_to_the_letter_what_the_passage_holds(server: Any) -> None:
    with Client(server.url) as client:
        answer = client.ask("What do visitors wear?", tier="extract")
        passages = {passage.chunk.id: passage.chunk.text for passage in answer.passages}
        assert answer.citations
        for citation in answer.citations:
            assert passages[citation.chunk_id][citation.start : citation.end] == citation.quote
        assert answer.usage.completion_tokens == 0


def test_what_the_handbook_does_not_say_is_not_answered(server: Any) -> None:
    with Client(server.url) as client:
        answer = client.ask("Who won the chess championship of 1972?")
    assert answer.outcome is Outcome.NOT_FOUND
    assert answer.citations == ()


def test_search_tells_the_score_of_each_leg(server: Any) -> None:
    with Client(server.url) as client:
        best = client.search("What does a hotel night abroad cost?")[0]
    assert "190 euros" in best.chunk.text
    assert best.dense is not None and best.sparse is not None


def test_the_command_line_goes_through_the_running_server(server: Any, command: Any) -> None:
    before = server.log.read_text().count("/v1/chat/completions")
    done = command(server.home, "ask", "How much is the Drill D20?", "--json")
    assert done.returncode == 0, done.stderr
    assert "129 euros" in json.loads(done.stdout)["answer"]
    assert server.log.read_text().count("/v1/chat/completions") == before + 1


def test_langchain_works_on_the_running_server(server: Any) -> None:
    with Client(server.url) as client:
        found = PermafrostRetriever(source=client, k=2).invoke("yellow badge")
        assert found[0].metadata["source"].endswith("security.txt")
        reply = ChatPermafrost(source=client, model="extract").invoke(LEAVE)
    assert "28 days" in reply.text
    assert reply.response_metadata["rag"]["citations"]


def test_it_is_ready_when_index_and_model_are(server: Any) -> None:
    reply = httpx.get(f"{server.url}/readyz", trust_env=False, timeout=30)
    assert reply.json() == {"ready": True, "index": "ok", "model": "ok"}


def test_the_log_holds_no_question_and_no_document(server: Any) -> None:
    log = server.log.read_text()
    assert '"event": "request"' in log
    assert not any(word in log for word in ("paid leave", "28 days", "yellow badge"))


def test_a_second_server_of_the_home_is_refused_in_one_sentence(server: Any, command: Any) -> None:
    done = command(server.home, "serve", "--port", "0")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "already runs at" in done.stderr


def test_a_home_that_is_being_restored_does_not_answer(tmp_path: Path, command: Any) -> None:
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb/restoring").write_text("digest of a manifest")
    done = command(tmp_path / "kb", "serve", "--port", "0")
    assert done.returncode == 1
    assert "is being restored" in done.stderr


def test_a_signal_ends_it_cleanly_and_leaves_nothing(
    tmp_path: Path,
    start_server: Callable[[Path], Any],
    family: Callable[[int], list[int]],
    gone: Callable[[list[int]], bool],
) -> None:
    (tmp_path / "kb").mkdir()
    served = start_server(tmp_path / "kb")
    with Client(served.url) as client:
        assert client.ask("Is there anything?").outcome is Outcome.NOT_FOUND
    pids = family(served.process.pid)
    assert pids, "the index child should run"
    assert (served.home / "server.json").exists()
    assert served.end() == 0
    assert not (served.home / "server.json").exists()
    assert gone(pids)


@pytest.mark.slow
def test_a_killed_server_does_not_keep_the_command_line_from_working(
    tmp_path: Path, start_server: Callable[[Path], Any], command: Any, gone: Callable[[list[int]], bool]
) -> None:
    (tmp_path / "kb").mkdir()
    served = start_server(tmp_path / "kb")
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    done = command(served.home, "search", "anything", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_what_is_ingested_beside_a_running_server_is_answered_by_it(
    server: Any, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "canteen.md").write_text("# Canteen\n\nThe canteen opens at 11:45 and closes at 13:30.\n")
    done = command(server.home, "ingest", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    with Client(server.url) as client:
        answer = client.ask("When does the canteen open?", tier="extract")
    assert "11:45" in answer.text
    assert command(server.home, "rm", str(tmp_path)).returncode == 0
    with Client(server.url) as client:
        assert "11:45" not in client.ask("When does the canteen open?", tier="extract").text
