"""Presentations: a page per slide in the order of showing, titles first, tables and notes kept."""

from __future__ import annotations

import io
import zipfile

import pytest
from pptx import Presentation
from pptx.util import Inches

from ingest.parsing import slides
from rag.errors import Damaged


def deck() -> bytes:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Travel rates"
    frame = slide.placeholders[1].text_frame
    frame.text = "Per diem"
    for text, depth in (("Germany", 1), ("Hotels", 0)):
        paragraph = frame.add_paragraph()
        paragraph.text, paragraph.level = text, depth
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = "Rates"
    grid = slide.shapes.add_table(3, 3, Inches(1), Inches(1), Inches(4), Inches(2)).table
    for row, cells in enumerate((("Land", "Rate", ""), ("F", "1", "2"), ("", "3", "4"))):
        for column, text in enumerate(cells):
            grid.cell(row, column).text = text
    grid.cell(0, 1).merge(grid.cell(0, 2))
    grid.cell(1, 0).merge(grid.cell(2, 0))
    box = slide.shapes.add_textbox(Inches(1), Inches(4), Inches(4), Inches(1))
    box.text_frame.text = "A box"
    buffer = io.BytesIO()
    presentation.save(buffer)
    return buffer.getvalue()


def test_slides_are_pages_with_titles_lists_tables_boxes_and_notes() -> None:
    document = slides.parse(deck())
    assert document.pages == 2
    assert [(block.page, block.kind, block.text) for block in document.blocks] == [
        (1, "heading", "Travel rates"),
        (1, "list", "- Per diem\n  - Germany\n- Hotels"),
        (1, "text", "Notes: Say it slowly."),
        (2, "heading", "Rates"),
        (2, "table", "Land | Rate\nF | 1 | 2\nF | 3 | 4"),
        (2, "text", "A box"),
    ]


def rewritten(data: bytes, **changes: tuple[str, str]) -> bytes:
    """The package with a text replaced in the parts whose names contain a word."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            for word, (before, after) in changes.items():
                if word in name:
                    content = content.replace(before.encode(), after.encode())
            new.writestr(name, content)
    return buffer.getvalue()


def test_a_shape_that_is_hidden_is_left_out_and_counted() -> None:
    data = rewritten(deck(), slide2=('name="TextBox', 'hidden="1" name="TextBox'))
    document = slides.parse(data)
    assert "A box" not in [block.text for block in document.blocks]
    assert document.warnings == ("1 hidden passages removed",)


def test_a_presentation_without_its_slides_is_damaged() -> None:
    data = rewritten(deck(), presentation=("slides/slide", "slides/gone"))
    with pytest.raises(Damaged, match="lost its slides"):
        slides.parse(data)
