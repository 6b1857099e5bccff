from pathlib import Path

import pytest

from rag.errors import SettingsError
from rag.settings import load


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAG_CONFIG", raising=False)


def test_arguments_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rag.toml").write_text('home = "file"\n[engine]\nthreads = 1\ncontext = 2048\n')
    monkeypatch.setenv("RAG_ENGINE_THREADS", "2")
    monkeypatch.setenv("RAG_HOME", "environment")
    settings = load(home=Path("argument"))
    assert (settings.home, settings.engine.threads, settings.engine.context) == (Path("argument"), 2, 2048)


def test_a_name_with_underscores_is_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_SERVER_MAX_BODY_BYTES", "77")
    assert load().server.max_body_bytes == 77


def test_a_typo_is_an_error_and_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ENGINE_THREDS", "3")
    with pytest.raises(SettingsError, match=r"there is no setting engine\.threds"):
        load()


def test_a_value_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_SERVER_PORT", "70000")
    with pytest.raises(SettingsError, match=r"setting server\.port is '70000'"):
        load()


def test_a_broken_file_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("home = \n")
    with pytest.raises(SettingsError, match=r"rag\.toml cannot be read"):
        load()
