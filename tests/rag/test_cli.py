from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rag
from rag.errors import by_name
from rag.sdk.client import restore
from rag.terminal import figures, place
from rag.types import Answer, Citation, Cost, Outcome, Tier, Usage
from rag.wire import error_body


def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")} | extra
    command = [sys.executable, "-m", "rag.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_the_version_is_the_package_s() -> None:
    assert run("--version").stdout == f"permafrost-rag {rag.__version__}\n"


def test_help_names_every_command() -> None:
    shown = run("--help", COLUMNS="100").stdout
    for command in ("serve", "ask", "search", "ingest", "status", "rm", "models", "doctor"):
        assert command in shown


def test_an_error_is_one_sentence_and_exit_status_1(tmp_path: Path) -> None:
    done = run("search", "anything", RAG_SERVER_PORT="eighty", RAG_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("rag: setting server.port is 'eighty'")
    assert done.stderr.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--debug", "--home", str(tmp_path / "file" / "kb"), "search", "anything")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "cannot be made" in done.stderr


def test_wrong_usage_is_exit_status_2() -> None:
    assert run("ask").returncode == 2


@pytest.mark.model
def test_models_are_listed_and_verified(tmp_path: Path) -> None:
    done = run("models", RAG_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("verified") == 2
    assert "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" in done.stdout


@pytest.mark.model
def test_a_changed_model_file_is_told_and_is_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"another model")
    done = run("models", RAG_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "is not the 'smollm2-135m-instruct' that models.lock pins" in done.stdout


@pytest.mark.model
def test_the_doctor_finds_a_new_home_in_good_health(tmp_path: Path) -> None:
    done = run("doctor", RAG_HOME=str(tmp_path / "kb"))
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("python", "cpu", "disk", "model smollm2-135m-instruct", "llama.cpp", "index", "server"):
        assert f"ok   {what}" in done.stdout


def test_every_error_survives_the_way_over_http() -> None:
    for error in by_name().values():
        body = error_body("what happened", status=error.status, code=error.code)
        restored = restore(body)
        assert (type(restored), str(restored)) == (error, "what happened")


def test_the_figures_of_an_answer_are_one_line() -> None:
    cost = Cost(0.0000123, "EUR", 2.2, "estimate: CPU-seconds x rate")
    seconds = {"retrieve": 0.5, "total": 2.0}
    answer = Answer("", Outcome.QUOTED, Tier.SMALL, (), (), Usage(400, 12), cost, seconds)
    assert figures(answer) == (
        "small · 412 tokens · 2.00 s · 0.000012 EUR (estimate: CPU-seconds x rate)"
        " · nothing left this machine"
    )


def test_a_citation_names_document_page_and_section() -> None:
    citation = Citation(1, "d", "Handbook", "/h.pdf", "c", "quote", 0, 5, page=3, section="Leave > Paid")
    assert place(citation) == "Handbook, page 3, Leave > Paid"
