"""The documents of the developer set: what must be read is read, what cannot be is named, nothing crashes."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from ingest.runners.local import parse_worker
from rag.errors import NeedsPassword, NoText, ParseError
from rag.models.lockfile import entry, locate
from rag.settings import IngestSettings

DEV_SET = Path(__file__).resolve().parents[3] / "shared/data/dev_set/documents"
SLOW = {"handbook-872p.docx"}
SLOW_HOSTILE = {"giant_cell.csv", "markdown_pathological.md", "xobject_self_loop.pdf", "flate_bomb.pdf"}
pytestmark = pytest.mark.skipif(
    not DEV_SET.exists(), reason="the developer set is not beside this repository (../shared/data/dev_set)"
)


def rows(folder: str) -> list[dict[str, Any]]:
    lines = (DEV_SET / "manifest.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["file"].startswith(folder)]


def read_all(wanted: list[dict[str, Any]]) -> dict[str, dict[str, Any] | ParseError]:
    """Every file through one parse worker, which must live to the end."""

    async def read() -> dict[str, dict[str, Any] | ParseError]:
        found: dict[str, dict[str, Any] | ParseError] = {}
        settings = IngestSettings(ocr="off", timeout_s=30)
        async with parse_worker(settings, locate(entry("all-minilm-l6-v2")), 0) as worker:
            await worker.start()
            pid = worker.pid
            for row in wanted:
                try:
                    found[row["file"]] = await worker.call("read", path=str(DEV_SET / row["file"]))
                except ParseError as error:
                    found[row["file"]] = error
            assert worker.pid == pid
        return found

    return asyncio.run(read())


def normal(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).lower())


def text_of(result: dict[str, Any] | ParseError) -> str:
    if isinstance(result, ParseError):
        return ""
    return "\n".join(" ".join((*chunk["heading_path"], chunk["text"])) for chunk in result["chunks"])


def without(rows: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    return [row for row in rows if Path(row["file"]).name not in names]


def test_documents_are_read_or_refused_as_the_set_expects() -> None:
    wanted = without(rows("files/"), SLOW)
    results = read_all(wanted)
    missing = []
    for row in wanted:
        result, name = results[row["file"]], row["file"]
        if row["expect"] == "text":
            text = normal(text_of(result))
            missing += [(name, part) for part in row["must_contain"] if normal(part) not in text]
        elif row["expect"] == "password":
            assert isinstance(result, NeedsPassword), name
        elif row["expect"] in ("empty", "ocr"):
            assert isinstance(result, NoText), name
        elif row["expect"] == "reject":
            assert isinstance(result, ParseError), name
        if isinstance(result, ParseError):
            assert str(result), name
        else:
            assert result["chunks"], name
            assert max(chunk["tokens"] for chunk in result["chunks"]) <= 254, name
    assert missing == []


def check_hostile(wanted: list[dict[str, Any]]) -> None:
    results = read_all(wanted)
    for row in wanted:
        result, name = results[row["file"]], row["file"]
        text = text_of(result)
        assert not [part for part in row.get("must_not_contain", []) if part in text], name
        assert not [path for path in row.get("must_not_create", []) if Path(path).exists()], name
        if row["expect"] == "text":
            assert all(normal(part) in normal(text) for part in row["must_contain"]), name
        if row["expect"] in ("reject", "empty"):
            assert isinstance(result, ParseError), name


def test_hostile_documents_are_bounded() -> None:
    check_hostile(without(rows("hostile/"), SLOW_HOSTILE))


@pytest.mark.slow
def test_hostile_documents_that_take_seconds_are_bounded() -> None:
    check_hostile([row for row in rows("hostile/") if Path(row["file"]).name in SLOW_HOSTILE])


@pytest.mark.slow
def test_a_document_of_872_pages_is_read() -> None:
    wanted = [row for row in rows("files/") if Path(row["file"]).name in SLOW]
    ((_, result),) = read_all(wanted).items()
    assert all(normal(part) in normal(text_of(result)) for part in wanted[0]["must_contain"])
