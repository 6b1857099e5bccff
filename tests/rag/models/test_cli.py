"""`rag models` as it is typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from rag.errors import BadRequest, UnknownModel
from rag.models.cli import register
from rag.settings import load

Maker = Callable[..., Path]


def app_of(home: Path) -> typer.Typer:
    app = typer.Typer()

    @app.callback()
    def options(context: typer.Context) -> None:
        context.meta["settings"] = load(home=home)

    register(app)
    return app


@pytest.fixture
def rag(tmp_path: Path) -> Callable[..., Result]:
    app = app_of(tmp_path / "home")

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, ["models", *map(str, arguments)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.mark.model
def test_models_alone_lists_and_verifies(rag: Callable[..., Result]) -> None:
    for command in ([], ["list"], ["verify", "smollm2-135m-instruct"]):
        result = rag(*command)
        assert result.exit_code == 0
        assert "smollm2-135m-instruct  (generator, Q4_1, 98 MB, Apache-2.0)" in result.output
        assert "verified  /" in result.output


def test_a_model_comes_and_goes(rag: Callable[..., Result], made: Maker, tmp_path: Path) -> None:
    added = rag("add", made("tiny.gguf"), "--licence", "MIT", "--link")
    assert added.output.startswith("+tiny  (F16, ") and "RAG_ENGINE_MODEL=tiny" in added.output
    assert "verified" in rag("verify", "tiny").output
    assert rag("rm", "tiny").output == "-tiny  (1 files deleted)\n"
    with pytest.raises(UnknownModel):
        rag("verify", "tiny")


def test_changed_bytes_end_verify_with_status_1_and_both_digests(
    rag: Callable[..., Result], made: Maker, tmp_path: Path
) -> None:
    rag("add", made("tiny.gguf"))
    kept = tmp_path / "home" / "models" / "tiny.gguf"
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    result = rag("verify", "tiny")
    assert result.exit_code == 1
    assert "expected sha256" in result.output and "actual" in result.output


def test_what_stays_is_not_removed(
    rag: Callable[..., Result], made: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadRequest, match="comes with Permafrost and stays"):
        rag("rm", "all-minilm-l6-v2")
    rag("add", made("tiny.gguf"))
    monkeypatch.setenv("RAG_ENGINE_MODEL", "tiny")
    with pytest.raises(BadRequest, match="is in use .engine.model.*--force"):
        rag("rm", "tiny")
    monkeypatch.delenv("RAG_ENGINE_MODEL")
    monkeypatch.setenv("RAG_TIERS", '{"big": {"kind": "local", "model": "tiny"}}')
    with pytest.raises(BadRequest, match="is in use .tiers.big.model"):
        rag("rm", "tiny")
    assert rag("rm", "tiny", "--force").exit_code == 0


def test_nothing_is_pulled_from_nowhere_or_without_a_digest(rag: Callable[..., Result]) -> None:
    with pytest.raises(BadRequest, match="no hub is set"):
        rag("pull", "org/repo/x.gguf")
