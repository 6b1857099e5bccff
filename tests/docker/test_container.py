"""The container's parts as far as a machine without a container engine allows: as plain processes."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from rag.settings import Section, Settings

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT, HEALTH = ROOT / "docker" / "entrypoint.sh", ROOT / "docker" / "health.py"
KEY = "a long random value"


def environment(**changes: str) -> dict[str, str]:
    """What the image sets, with `rag` on the path as in the image."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "RAG_SERVER_HOST": "0.0.0.0", **changes}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    env = environment(RAG_HOME=str(tmp_path / "data"), RAG_SERVER_PORT=free_port(), RAG_SERVER_API_KEY=KEY)
    process = subprocess.Popen([ENTRYPOINT, "serve"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        yield process, env
    finally:
        process.kill()
        process.communicate()


@pytest.mark.model
def test_the_service_becomes_healthy_and_ends_cleanly_on_sigterm(
    service: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    process, env = service
    assert process.stdout and "Permafrost answers at" in process.stdout.readline()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        health = subprocess.run([sys.executable, HEALTH], env=env, capture_output=True, text=True)
        if health.returncode == 0:
            break
    assert health.returncode == 0, health.stdout
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    gone = subprocess.run([sys.executable, HEALTH], env=env, capture_output=True, text=True)
    assert gone.returncode == 1
    assert "not ready on port" in gone.stdout


@pytest.mark.model
def test_without_a_key_it_makes_one_for_an_administrator_and_serves_nobody_else(tmp_path: Path) -> None:
    env = environment(RAG_HOME=str(tmp_path), RAG_SERVER_API_KEY="", RAG_SERVER_PORT=free_port())
    process = subprocess.Popen([ENTRYPOINT, "serve"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        said = ""
        while "Permafrost answers at" not in said or "administrator" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        key = said.split("shown this once: ")[1].split()[0]
        url = f"http://127.0.0.1:{env['RAG_SERVER_PORT']}/v1/whoami"
        assert httpx.get(url, trust_env=False).status_code == 401
        reply = httpx.get(url, headers={"authorization": f"Bearer {key}"}, trust_env=False)
        assert (reply.status_code, reply.json()["user"]) == (200, "admin")
    finally:
        process.kill()
        process.communicate()


def test_a_home_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    env = environment(RAG_HOME=str(tmp_path / "file" / "home"))
    done = subprocess.run([ENTRYPOINT, "status"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr and "RAG_HOME" in done.stderr


def test_every_setting_that_the_container_files_name_exists() -> None:
    known = set()
    for name, field in Settings.model_fields.items():
        section = field.annotation
        inner = section.model_fields if isinstance(section, type) and issubclass(section, Section) else None
        known |= {f"RAG_{name}_{key}".upper() for key in inner} if inner else {f"RAG_{name}".upper()}
    for file in ("Dockerfile", "compose.yaml", "entrypoint.sh", "health.py"):
        named = set(re.findall(r"\bRAG_[A-Z_]+\b", (ROOT / "docker" / file).read_text()))
        assert named <= known, f"{file}: {named - known}"


def test_only_the_chat_port_is_published_and_only_on_loopback() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert ports == {"rag": ["127.0.0.1:8000:8000"], "qdrant": []}
    assert all(service["cap_drop"] == ["ALL"] for service in services.values())


def test_the_dockerfile_copies_only_what_is_there() -> None:
    for line in (ROOT / "docker" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
