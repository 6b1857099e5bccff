"""Parse children: bounded, cut off, and survived."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import pytest

from ingest.parsing import isolation
from ingest.parsing.isolation import ParseService, obituary
from rag.errors import Damaged, LimitExceeded, NotFound
from rag.models.lockfile import entry, locate


@pytest.fixture(scope="module")
def service() -> ParseService:
    return ParseService(
        model=str(locate(entry("all-minilm-l6-v2"))),
        chunk_tokens=256,
        timeout_s=3,
        memory_bytes=1_000_000_000,
        max_file_bytes=10_000_000,
        ocr_languages=None,
    )


def read_with(monkeypatch: pytest.MonkeyPatch, service: ParseService, path: Path, code: str) -> object:
    """Let the child run other code where it would parse."""
    monkeypatch.setattr(isolation.parser, "parse", lambda *_, **__: exec(code, {}))
    path.write_text("some text")
    return service.read(str(path))


def test_a_file_comes_back_as_chunks(service: ParseService, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Title\n\nBody text.")
    result = service.read(str(tmp_path / "a.md"))
    assert result["media_type"] == "text/markdown"
    assert [(chunk["text"], chunk["heading_path"]) for chunk in result["chunks"]] == [
        ("Body text.", ["Title"])
    ]


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("import os; os.abort()", Damaged, "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Damaged, "SIGSEGV"),
        ("import os; os._exit(7)", Damaged, "exit status 7"),
        ("bytearray(4_000_000_000)", LimitExceeded, "MiB of memory"),
        ("import time; time.sleep(60)", LimitExceeded, "more than 3 s"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", Damaged, "PermissionError"),
        ("f = lambda: f(); f()", Damaged, "nested too deeply"),
        ("raise ValueError('the secret text')", Damaged, "ValueError"),
    ],
)
def test_whatever_the_parser_does_the_service_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    service: ParseService,
    tmp_path: Path,
    code: str,
    error: type[Exception],
    words: str,
) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        read_with(monkeypatch, service, tmp_path / "a.txt", code)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - started < 10
    monkeypatch.undo()
    assert service.read(str(tmp_path / "a.txt"))["chunks"]


def test_a_program_that_the_parser_started_ends_with_it(
    monkeypatch: pytest.MonkeyPatch, service: ParseService, tmp_path: Path
) -> None:
    mark = tmp_path / "alive"
    code = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1; touch {mark}']); raise ValueError"
    with pytest.raises(Damaged):
        read_with(monkeypatch, service, tmp_path / "a.txt", code)
    time.sleep(1.5)
    assert not mark.exists()


def test_a_zip_bomb_is_refused_before_it_is_opened(service: ParseService, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.docx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * 50_000_000)
    with pytest.raises(LimitExceeded, match="compressed"):
        service.read(str(bomb))


def test_a_large_file_is_refused_unread(service: ParseService, tmp_path: Path) -> None:
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(LimitExceeded, match="10000000000 bytes"):
        service.read(str(tmp_path / "large.txt"))


def test_a_file_that_vanished_is_not_found(service: ParseService, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        service.read(str(tmp_path / "gone.txt"))


def test_no_child_is_left_behind(service: ParseService, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    service.read(str(tmp_path / "a.txt"))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_obituary_names_the_limit_of_processor_time() -> None:
    assert "processor time" in str(obituary(24))
