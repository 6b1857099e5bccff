"""The sample handbook opens with the libraries of its formats and holds the facts its questions ask for."""

from __future__ import annotations

import csv
import email
import email.policy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pypdfium2
import pypdfium2.raw
import pytest
from lxml import html

DATA = Path(__file__).parents[1] / "data"
HANDBOOK = DATA / "handbook"
SCAN = "fire-drill-record-2025.pdf"
QUESTIONS = [
    json.loads(line) for line in (DATA / "handbook_questions.jsonl").read_text(encoding="utf-8").splitlines()
]


def pdf_pages(path: Path) -> list[str]:
    with pypdfium2.PdfDocument(path) as document:
        return [page.get_textpage().get_text_range() for page in document]


def docx_text(path: Path) -> str:
    document = docx.Document(str(path))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


def pptx_text(path: Path) -> str:
    lines: list[str] = []
    for slide in pptx.Presentation(str(path)).slides:
        for shape in slide.shapes:
            if shape.has_text_frame:
                lines.append(shape.text_frame.text)
            if shape.has_table:
                lines += [cell.text for row in shape.table.rows for cell in row.cells]
        if slide.has_notes_slide:
            lines.append(slide.notes_slide.notes_text_frame.text)
    return "\n".join(lines)


def xlsx_text(path: Path) -> str:
    book = openpyxl.load_workbook(path)
    rows = [row for sheet in book.worksheets for row in sheet.iter_rows(values_only=True)]
    return "\n".join([*book.sheetnames, *(str(cell) for row in rows for cell in row if cell is not None)])


def eml_text(path: Path) -> str:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    return f"{message['subject']}\n{body.get_content()}"


def csv_text(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as rows:
        return "\n".join(" | ".join(row) for row in csv.reader(rows))


def plain_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


MARK = re.compile(r"^(#+ |- |> |===$)")  # what build_handbook.py reads as structure
READERS: dict[str, Callable[[Path], str]] = {
    ".pdf": lambda path: "\n".join(pdf_pages(path)),
    ".docx": docx_text,
    ".pptx": pptx_text,
    ".xlsx": xlsx_text,
    ".eml": eml_text,
    ".csv": csv_text,
    ".html": lambda path: str(html.parse(str(path)).getroot().text_content()),
    ".md": plain_text,
    ".txt": plain_text,
}


def text_of(name: str) -> str:
    """Give a document's words with every run of white space as one space."""
    path = HANDBOOK / name
    return " ".join(READERS[path.suffix](path).split())


def says_any(text: str, answers: list[str]) -> bool:
    return any(answer in text for answer in answers)


def asked(*expect: str) -> list[Any]:
    chosen = [item for item in QUESTIONS if item["expect"] in expect and not item.get("ocr")]
    return [pytest.param(item, id=item["question"]) for item in chosen]


def documents() -> list[str]:
    return sorted(path.name for path in HANDBOOK.iterdir())


def sources() -> list[Path]:
    return sorted(path for path in (DATA / "sources").glob("*.txt") if ".scan" not in path.suffixes)


@pytest.mark.parametrize("name", [name for name in documents() if name != SCAN])
def test_every_document_opens_with_the_library_of_its_format(name: str) -> None:
    assert len(text_of(name)) > 300


def test_the_handbook_is_small_and_has_every_format_of_the_first_issue() -> None:
    files = [HANDBOOK / name for name in documents()]
    assert 12 <= len(files) <= 20
    assert {path.suffix for path in files} == set(READERS)
    assert sum(path.stat().st_size for path in files) < 1_000_000


@pytest.mark.parametrize("item", asked("answer", "table", "conflict"))
def test_the_named_document_holds_the_answer(item: dict[str, Any]) -> None:
    text = text_of(item["document"])
    if "page" in item:
        text = " ".join(pdf_pages(HANDBOOK / item["document"])[item["page"] - 1].split())
    assert says_any(text, item["contains"])


@pytest.mark.parametrize("item", asked("conflict"))
def test_the_older_version_of_a_policy_says_something_else(item: dict[str, Any]) -> None:
    older = text_of(item["older"])
    assert says_any(older, item["outdated"])
    assert not says_any(older, item["contains"])
    assert not says_any(text_of(item["document"]), item["outdated"])


@pytest.mark.parametrize("item", asked("not_found"))
def test_no_document_knows_what_has_no_answer(item: dict[str, Any]) -> None:
    for name in documents():
        assert not says_any(text_of(name).lower(), item["absent"]), name


def test_the_demo_asks_for_a_page_a_table_a_section_a_conflict_and_the_unknown() -> None:
    demo = [item for item in QUESTIONS if item.get("demo")]
    assert [item["expect"] for item in demo] == ["answer", "table", "answer", "conflict", "not_found"]
    assert "page" in demo[0]


def test_the_scan_is_a_picture_without_text() -> None:
    assert text_of(SCAN) == ""
    with pypdfium2.PdfDocument(HANDBOOK / SCAN) as document:
        kinds = [thing.type for thing in document[0].get_objects()]
    assert kinds == [pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_a_built_document_says_what_its_source_says(source: Path) -> None:
    text = text_of(source.stem)
    body = source.read_text(encoding="utf-8").partition("\n\n")[2]
    for line in body.splitlines():
        for part in MARK.sub("", line).strip("|").split("|"):
            assert part.strip() in text
