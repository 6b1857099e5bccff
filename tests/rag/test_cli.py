from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rag
from rag.cli import COMMANDS, fronted, loaded
from rag.errors import by_name
from rag.terminal import figures, place
from rag.types import Answer, Citation, Cost, Outcome, Tier, Usage
from rag.wire import error_body, restore


def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")} | extra
    command = [sys.executable, "-m", "rag.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_the_version_is_the_package_s() -> None:
    assert run("--version").stdout == f"permafrost-rag {rag.__version__}\n"


def test_help_names_every_command_and_the_exit_statuses() -> None:
    shown = run("--help", COLUMNS="100").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in shown
    assert "3 some documents quarantined or left out, 130" in " ".join(shown.split())


def test_help_imports_nothing_that_answers() -> None:
    code = "import sys, rag.cli; print([name for name in HEAVY if name in sys.modules])"
    heavy = ["numpy", "sqlalchemy", "httpx", "fastapi", "pydantic", "rich", "asyncio", "rag.settings"]
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy}; {code}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_help_takes_less_than_a_third_of_a_second() -> None:
    def cpu_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(cpu_s() for _ in range(3)) < 0.3


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_listed_of_a_command_is_how_its_own_help_begins(name: str) -> None:
    own = " ".join(loaded(name).help.split())
    assert own.startswith(COMMANDS[name].help)


@pytest.mark.parametrize("name", [name for name, listed in COMMANDS.items() if listed.remote])
def test_a_command_has_a_form_for_servers_where_the_list_says_so(name: str) -> None:
    assert loaded(name, url="https://rag.example.org").name == name


def test_a_mistyped_command_is_told_what_was_meant() -> None:
    done = run("serach", "leave")
    assert done.returncode == 2
    assert "Did you mean 'search'" in done.stderr


def test_completion_knows_commands_and_their_options() -> None:
    def completed(words: str) -> str:
        count = str(len(words.split()) - (not words.endswith(" ")))
        asked = {"_RAG_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
        installed = Path(sys.executable).parent / "rag"
        return subprocess.run([installed], env=os.environ | asked, capture_output=True, text=True).stdout

    assert set(completed("rag re").split()) == {"reindex"}
    assert "--tier" in completed("rag ask --")
    assert {"pause", "resume", "cancel", "retry"} <= set(completed("rag jobs ").split())


def test_what_acts_on_a_home_is_not_run_for_a_server() -> None:
    done = run("--url", "https://rag.example.org", "reindex")
    assert done.returncode == 2
    assert "acts on a home on this machine" in done.stderr
    done = run("duplicates", RAG_URL="https://rag.example.org")
    assert done.returncode == 2
    assert "RAG_URL is https://rag.example.org" in done.stderr
    assert run("--url", "https://rag.example.org", "--home", "kb", "status").returncode == 2


def test_home_and_url_may_stand_behind_the_command(tmp_path: Path) -> None:
    assert run("status", "--home", str(tmp_path), "--json").returncode == 0
    assert "acts on this machine" in run("serve", "--url=https://rag.example.org").stderr
    assert "requires an argument" in run("status", "--home").stderr
    assert fronted(["ask", "--", "--home", "x"]) == ["ask", "--", "--home", "x"]


def test_a_home_that_is_named_goes_before_the_server_of_the_environment(tmp_path: Path) -> None:
    done = run("--home", str(tmp_path), "models", "--help", RAG_URL="https://rag.example.org")
    assert done.returncode == 0


def test_a_server_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    done = run("--url", "http://127.0.0.1:1", "search", "leave")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no server answers at http://127.0.0.1:1" in done.stderr


def test_an_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rag.cli", "--home", str(tmp_path / "kb"), "chat"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell without job control starts what runs in the background deaf to it, and so this would be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "kb").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


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
        "small · 412 tokens · 2.00 s · 0.000012 EUR (estimate) · nothing left this machine"
    )


def test_a_citation_names_document_page_and_section() -> None:
    citation = Citation(1, "d", "Handbook", "/h.pdf", "c", "quote", 0, 5, page=3, section="Leave > Paid")
    assert place(citation) == "Handbook, page 3, Leave > Paid"


def test_a_collection_that_is_not_there_is_told_and_nothing_is_not_searched_for(tmp_path: Path) -> None:
    done = run("--home", str(tmp_path), "search", "--collection", "hr", "paid leave")
    assert (done.returncode, "no collection 'hr'; have none yet" in done.stderr) == (1, True)
    assert run("--home", str(tmp_path), "search", " ").returncode == 2
