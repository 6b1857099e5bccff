"""The real program on a small folder: real processes, the bundled models, Qdrant Edge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

HANDBOOK = {
    "leave.md": "# Leave\n\n## Paid leave\n\nEmployees of Nordwind Tools have 28 days of paid leave a year.\n"
    "\n## Parental leave\n\nParental leave lasts up to 14 months.\n",
    "travel.html": "<html><head><title>Travel policy</title></head><body><h1>Travel policy</h1>"
    "<h2>Hotels</h2><p>A hotel night is paid up to 140 euros in Germany and 190 euros abroad.</p>"
    "</body></html>",
    "security.txt": "Security rules\n\nVisitors are met at the gate by their host and wear a yellow badge.\n",
    "prices.csv": "Product,Price,Warranty\nDrill D20,129 euros,24 months\nSaw S7,89 euros,12 months\n",
}


def environment(home: Path) -> dict[str, str]:
    """What a run of the program sees: nothing of the developer's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    return kept | {
        "RAG_HOME": str(home),
        "RAG_ENGINE_CONTEXT": "2048",
        "RAG_ENGINE_TUNE": "false",
        "COLUMNS": "200",
    }


@pytest.fixture(scope="session")
def surroundings() -> Callable[[Path], dict[str, str]]:
    """The environment of a run of the program on a home."""
    return environment


@pytest.fixture(scope="session")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handbook")
    for name, text in HANDBOOK.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def command() -> Command:
    """Run `rag` to its end."""

    def run(
        home: Path, *arguments: str, standard_input: str = "", **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rag.cli", *arguments],
            env=environment(home) | extra,
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


@dataclass
class Served:
    """A running `rag serve`."""

    process: subprocess.Popen[str]
    url: str
    home: Path
    log: Path

    def end(self) -> int:
        """Ask it to finish; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, handbook: Path, command: Command) -> Path:
    """A home that holds the handbook."""
    home = tmp_path_factory.mktemp("filled") / "kb"
    done = command(home, "ingest", str(handbook))
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[[Path], Served]]:
    """Start `rag serve` of a home on a free port."""
    ended: list[Served] = []
    started: list[subprocess.Popen[str]] = []

    def start(home: Path) -> Served:
        log = home / "server.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "rag.cli", "serve", "--port", "0"],
                env=environment(home) | {"RAG_LOG_LEVEL": "info"},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        started.append(process)
        assert process.stdout
        line = process.stdout.readline()
        assert "answers at http://" in line, line + log.read_text()
        served = Served(process, line.split()[-1], home, log)
        ended.append(served)
        return served

    yield start
    for served in ended:
        served.end()
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="session")
def server(filled: Path, start_server: Callable[[Path], Served]) -> Served:
    """One server for the tests that only read."""
    return start_server(filled)


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def gone() -> Callable[[list[int]], bool]:
    """Whether processes end within a minute."""

    def wait(pids: list[int]) -> bool:
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    return wait


@pytest.fixture
def family() -> Callable[[int], list[int]]:
    """All descendants of a process."""

    def below(pid: int) -> list[int]:
        found = children(pid)
        return found + [each for child in found for each in below(child)]

    return below
