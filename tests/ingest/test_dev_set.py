"""The documents of the developer set: what must be read is read, what cannot be is named, nothing crashes."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.runners.local import parse_config
from rag.errors import NeedsPassword, NoText, ParseError
from rag.models.lockfile import entry, locate
from rag.settings import IngestSettings
from rag.workers import Worker

DEV_SET = Path(__file__).resolve().parents[3] / "shared/data/dev_set"
DOCUMENTS = DEV_SET / "documents"
SLOW = {"handbook-872p.docx"}
SLOW_HOSTILE = {"giant_cell.csv", "markdown_pathological.md", "xobject_self_loop.pdf", "flate_bomb.pdf"}
pytestmark = pytest.mark.skipif(
    not DEV_SET.exists(), reason="the developer set is not beside this repository (../shared/data/dev_set)"
)

Result = dict[str, Any] | ParseError


def rows(folder: str) -> list[dict[str, Any]]:
    lines = (DOCUMENTS / "manifest.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["file"].startswith(folder)]


def read_all(files: list[Path], originals: Path, *, passwords: tuple[str, ...] = ()) -> dict[str, Result]:
    """Every file and the parts in it through one parse worker, which must live to the end."""

    seen: set[str] = set()  # a nested bomb is ten times the same archive, ten deep

    async def read_one(worker: Worker, path: Path, name: str) -> Result:
        try:
            result: dict[str, Any] = await worker.call(
                "read", path=str(path), name=name, originals=str(originals)
            )
        except ParseError as error:
            return error
        for part in result["parts"]:
            if part["sha256"] in seen:
                continue
            seen.add(part["sha256"])
            place = originals / part["sha256"][:2] / part["sha256"]
            inner = await read_one(worker, place, part["name"])
            if not isinstance(inner, ParseError):
                result["chunks"] += inner["chunks"]
        return result

    async def read() -> dict[str, Result]:
        settings = IngestSettings(ocr="off", timeout_s=30, passwords=passwords)
        config = parse_config(settings, locate(entry("all-minilm-l6-v2")))
        worker = Worker("ingest.parsing.isolation:ParseService", config, name="parse")
        try:
            await worker.start()
            pid = worker.pid
            found = {path.name: await read_one(worker, path, path.name) for path in files}
            assert worker.pid == pid
        finally:
            await worker.kill()
        return found

    return asyncio.run(read())


def read_rows(wanted: list[dict[str, Any]], originals: Path) -> Iterator[tuple[dict[str, Any], Result]]:
    results = read_all([DOCUMENTS / row["file"] for row in wanted], originals)
    return ((row, results[Path(row["file"]).name]) for row in wanted)


def normal(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).lower())


def text_of(result: Result) -> str:
    if isinstance(result, ParseError):
        return ""
    return "\n".join(" ".join((*chunk["heading_path"], chunk["text"])) for chunk in result["chunks"])


def without(rows: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    return [row for row in rows if Path(row["file"]).name not in names]


def test_documents_are_read_or_refused_as_the_set_expects(tmp_path: Path) -> None:
    missing = []
    for row, result in read_rows(without(rows("files/"), SLOW), tmp_path):
        name = row["file"]
        if row["expect"] == "text" or (
            row["expect"] == "text_or_reject" and not isinstance(result, ParseError)
        ):
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
            assert result["chunks"] or result["parts"], name
            assert max((chunk["tokens"] for chunk in result["chunks"]), default=0) <= 254, name
    assert missing == []


def test_formats_that_used_to_be_refused_are_read(tmp_path: Path) -> None:
    wanted = [row for row in rows("files/") if row["expect"] == "text_or_reject"]
    refused = {row["file"] for row, result in read_rows(wanted, tmp_path) if isinstance(result, ParseError)}
    assert refused == set()


def test_a_given_password_opens_what_is_encrypted(tmp_path: Path) -> None:
    wanted = [row for row in rows("files/") if row["expect"] == "password" and row.get("password")]
    assert wanted
    passwords = tuple(row["password"] for row in wanted)
    results = read_all([DOCUMENTS / row["file"] for row in wanted], tmp_path, passwords=passwords)
    for row in wanted:
        text = normal(text_of(results[Path(row["file"]).name]))
        assert all(normal(part) in text for part in row["must_contain"]), row["file"]


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower()))


def test_the_words_of_the_reference_conversions_are_found(tmp_path: Path) -> None:
    files = [path for path in sorted((DOCUMENTS / "expected_markdown").iterdir()) if ".md" not in path.name]
    files.remove(DOCUMENTS / "expected_markdown/manifest.jsonl")
    recalls = []
    for name, result in read_all(files, tmp_path).items():
        reference = (DOCUMENTS / f"expected_markdown/{name}.expected.md").read_text("utf-8")
        reference = re.sub(r"<!--.*?-->|data:image[^)]*|\]\([^)]*\)", "", reference)
        expected = words(reference)
        recalls.append(sum((expected & words(text_of(result))).values()) / max(1, sum(expected.values())))
    assert sum(recalls) / len(recalls) >= 0.93
    assert sum(recall >= 0.85 for recall in recalls) >= 0.85 * len(recalls)


def test_what_nobody_sees_in_a_file_is_dropped_and_what_all_see_stays(tmp_path: Path) -> None:
    cases = [json.loads(line) for line in (DEV_SET / "injection/cases.jsonl").read_text("utf-8").splitlines()]
    cases = [case for case in cases if case["kind"] == "indirect_file"]
    results = read_all([DEV_SET / "injection" / case["file"] for case in cases], tmp_path)
    for case in cases:
        result = results[Path(case["file"]).name]
        text = text_of(result)
        assert case["gold_answers"][0] in text, case["file"]
        if case["hidden_text_should_be_dropped"]:
            assert not re.search(case["success_regex"], text), case["file"]
            assert not isinstance(result, ParseError) and result["warnings"], case["file"]


def check_hostile(wanted: list[dict[str, Any]], originals: Path) -> None:
    for row, result in read_rows(wanted, originals):
        text, name = text_of(result), row["file"]
        assert not [part for part in row.get("must_not_contain", []) if part in text], name
        assert not [path for path in row.get("must_not_create", []) if Path(path).exists()], name
        if row["expect"] == "text":
            assert all(normal(part) in normal(text) for part in row["must_contain"]), name
        if row["expect"] in ("reject", "empty"):
            assert isinstance(result, ParseError), name


def test_hostile_documents_are_bounded(tmp_path: Path) -> None:
    check_hostile(without(rows("hostile/"), SLOW_HOSTILE), tmp_path)


@pytest.mark.slow
def test_hostile_documents_that_take_seconds_are_bounded(tmp_path: Path) -> None:
    check_hostile([row for row in rows("hostile/") if Path(row["file"]).name in SLOW_HOSTILE], tmp_path)


@pytest.mark.slow
def test_a_document_of_872_pages_is_read(tmp_path: Path) -> None:
    wanted = [row for row in rows("files/") if Path(row["file"]).name in SLOW]
    ((row, result),) = read_rows(wanted, tmp_path)
    assert all(normal(part) in normal(text_of(result)) for part in row["must_contain"])
