"""Nothing leaves: a whole ingest and ask, every process of them watched for a connection to anywhere else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rag.silence import QUIET, silence

# Python imports a module of this name at the start of every process, children included.
WATCH = """
import os, socket, sys

def local(address):
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    return host in (None, "", "localhost", "::1") or str(host).startswith("127.")

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        sock, address = arguments
        outside = sock.family in (socket.AF_INET, socket.AF_INET6) and address and not local(address)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        outside = not local(arguments[0])
    else:
        return
    if outside:
        with open(os.environ["WATCHED"], "a") as ledger:
            ledger.write(f"{event} {arguments} {sys.argv}\\n")
        raise PermissionError("the network is closed in this test")

sys.addaudithook(watch)
"""
OUTSIDE = re.compile(r"sa_family=AF_INET6?, .*")
LOOPBACK = re.compile(r'inet_addr\("127\.|"::1"|::ffff:127\.')


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """An environment in which every Python process refuses and writes down what goes elsewhere."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(WATCH)
    path = os.pathsep.join([str(tmp_path / "hook"), str(Path(__file__).parents[2])])
    own = {"PYTHONPATH": path, "WATCHED": str(tmp_path / "ledger"), "RAG_HOME": str(tmp_path / "kb")}
    # The program itself must be what silences.
    inherited = {name: value for name, value in os.environ.items() if name not in QUIET}
    return inherited | own | {"LANGSMITH_TRACING": "true"}


def test_the_watch_sees_and_refuses_an_attempt(tmp_path: Path, watched: dict[str, str]) -> None:
    attempt = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    done = subprocess.run([sys.executable, "-c", attempt], env=watched, capture_output=True, text=True)
    assert "the network is closed in this test" in done.stderr
    assert "192.0.2.1" in (tmp_path / "ledger").read_text()


@pytest.mark.model
def test_ingest_and_ask_connect_to_nowhere_else(tmp_path: Path, watched: dict[str, str]) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "leave.md").write_text("# Leave\n\nEmployees have 28 days of paid leave a year.\n")
    (documents / "travel.html").write_text("<h1>Travel</h1><p>Hotels are paid up to 140 euros a night.</p>")

    trace = tmp_path / "trace"
    tracer = ["strace", "-f", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)]
    tracing = (
        shutil.which("strace") and subprocess.run([*tracer, "true"], capture_output=True).returncode == 0
    )
    for arguments in (["ingest", str(documents)], ["ask", "How many days of paid leave?", "--tier", "small"]):
        command = [sys.executable, "-m", "rag.cli", *arguments]
        # What native code does passes the audit hook by; where strace may run, it sees that too.
        done = subprocess.run(
            [*tracer[:-1], f"{trace}.{arguments[0]}", *command] if tracing else command,
            env=watched,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "28 days" in done.stdout
    assert not (tmp_path / "ledger").exists(), (tmp_path / "ledger").read_text()
    calls = [line for file in tmp_path.glob("trace.*") for line in file.read_text().splitlines()]
    assert bool(calls) == bool(tracing)
    assert [call for call in calls if OUTSIDE.search(call) and not LOOPBACK.search(call)] == []


def test_an_inherited_wish_to_trace_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"LANGSMITH_TRACING": "true"})
    silence()
    assert os.environ["LANGSMITH_TRACING"] == "false"
