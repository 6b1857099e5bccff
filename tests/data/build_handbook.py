"""Writes the binary documents of the sample handbook from the plain texts in `sources/`.

Run it after editing a source: `python tests/data/build_handbook.py`. It needs what the product reads these
formats with (python-docx, python-pptx, openpyxl, Pillow, numpy) plus reportlab, which nothing else uses. The
same versions of these give the same bytes. The other documents of `handbook/` are written by hand.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import docx
import numpy as np
import openpyxl
import pptx
from PIL import Image, ImageDraw, ImageFont
from pptx.util import Inches
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table

HERE = Path(__file__).parent
Kind = Literal["title", "heading", "text", "bullet", "note", "table", "page"]


@dataclass(frozen=True)
class Block:
    """One heading, paragraph, bullet, speaker's note, page break or whole table of a source."""

    kind: Kind
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Source:
    """A source text: what the document says of itself, and its blocks in order."""

    title: str
    author: str
    date: datetime
    blocks: tuple[Block, ...]


MARKS: dict[str, Kind] = {"# ": "title", "## ": "heading", "- ": "bullet", "> ": "note", "===": "page"}


def read(path: Path) -> Source:
    """Parse a source: `key: value` lines, an empty line, then the body."""
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    about = dict(line.split(": ", 1) for line in head.splitlines())
    date = datetime.fromisoformat(about["date"]).replace(tzinfo=UTC)
    return Source(about["title"], about["author"], date, tuple(blocks(body)))


def blocks(body: str) -> Iterator[Block]:
    """Cut a body into blocks; lines that start with a bar and follow each other are one table."""
    rows: list[tuple[str, ...]] = []
    for line in [*body.splitlines(), ""]:
        if line.startswith("|"):
            rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
            continue
        if rows:
            yield Block("table", rows=tuple(rows))
            rows = []
        for mark, kind in MARKS.items():
            if line.startswith(mark):
                yield Block(kind, line.removeprefix(mark))
                break
        else:
            if line:
                yield Block("text", line)


def describe(properties: Any, source: Source) -> None:
    """Write title, author and date into the core properties of an Office document."""
    properties.title = source.title
    if hasattr(properties, "creator"):
        properties.creator = source.author
    else:
        properties.author = source.author
    properties.created = properties.modified = source.date.replace(tzinfo=None)


def write_docx(source: Source, target: Path) -> None:
    """Write a Word document with real heading styles and tables."""
    document = docx.Document()
    describe(document.core_properties, source)
    for block in source.blocks:
        match block.kind:
            case "title" | "heading":
                document.add_heading(block.text, level=1 if block.kind == "title" else 2)
            case "bullet":
                document.add_paragraph(block.text, style="List Bullet")
            case "table":
                table = document.add_table(len(block.rows), len(block.rows[0]), style="Table Grid")
                for row, cells in zip(table.rows, block.rows, strict=True):
                    for cell, text in zip(row.cells, cells, strict=True):
                        cell.text = text
            case _:
                document.add_paragraph(block.text)
    document.save(str(target))
    repack(target, source.date)


def write_pptx(source: Source, target: Path) -> None:
    """Write a slide per title, with bullets, tables and speaker's notes."""
    deck = pptx.Presentation()
    describe(deck.core_properties, source)
    slide: Any = None
    for block in source.blocks:
        match block.kind:
            case "title":
                slide = deck.slides.add_slide(deck.slide_layouts[1])
                slide.shapes.title.text = block.text
            case "note":
                slide.notes_slide.notes_text_frame.text = block.text
            case "table":
                slide.placeholders[1].element.getparent().remove(slide.placeholders[1].element)
                size = Inches(0.7), Inches(1.8), Inches(8.6), Inches(3)
                table = slide.shapes.add_table(len(block.rows), len(block.rows[0]), *size).table
                for row, cells in enumerate(block.rows):
                    for column, text in enumerate(cells):
                        table.cell(row, column).text = text
            case _:
                frame = slide.placeholders[1].text_frame
                paragraph = frame.add_paragraph() if frame.text else frame.paragraphs[0]
                paragraph.text = block.text
    deck.save(str(target))
    repack(target, source.date)


def write_xlsx(source: Source, target: Path) -> None:
    """Write a sheet per title, numbers as numbers."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    describe(book.properties, source)
    sheet: Any = None
    for block in source.blocks:
        if block.kind == "title":
            sheet = book.create_sheet(block.text)
        for row in block.rows:
            sheet.append([number(cell) for cell in row])
            sheet.column_dimensions["A"].width = 38
    book.save(target)
    repack(target, source.date)


def number(cell: str) -> str | int | float:
    """Give the number a cell stands for, else the cell."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell


def repack(target: Path, date: datetime) -> None:
    """Rewrite a zip with one date for all members and properties, so that a rebuild changes no byte."""
    stamp = date.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with zipfile.ZipFile(target) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            if name == "docProps/core.xml":
                data = re.sub(rb"(<dcterms:\w+[^>]*>)[^<]*", rb"\g<1>" + stamp, data)
            info = zipfile.ZipInfo(name, date.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def write_pdf(source: Source, target: Path) -> None:
    """Write a text PDF with ruled tables, a running head and page numbers."""
    styles = getSampleStyleSheet()
    named = {"title": "Heading1", "heading": "Heading2", "bullet": "Bullet"}
    story: list[Flowable] = []
    for block in source.blocks:
        match block.kind:
            case "page":
                story.append(PageBreak())
            case "table":
                story += [Spacer(0, 0.2 * cm), grid(block.rows, styles["BodyText"]), Spacer(0, 0.4 * cm)]
            case _:
                style = styles[named.get(block.kind, "BodyText")]
                story.append(Paragraph(block.text, style, bulletText="•" if block.kind == "bullet" else None))

    def running_head(canvas: Canvas, document: Any) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(2 * cm, A4[1] - 1.2 * cm, f"Nordkelvin Instruments GmbH · {source.title}")
        canvas.drawRightString(A4[0] - 2 * cm, 1.2 * cm, f"Page {canvas.getPageNumber()}")

    # reportlab takes its dates and its document id from here.
    os.environ["SOURCE_DATE_EPOCH"] = str(int(source.date.timestamp()))
    about = {"title": source.title, "author": source.author, "subject": "", "creator": Path(__file__).name}
    paper = SimpleDocTemplate(str(target), pagesize=A4, invariant=1, **about)
    paper.build(story, onFirstPage=running_head, onLaterPages=running_head)


def grid(rows: tuple[tuple[str, ...], ...], style: Any) -> Table:
    """Lay out rows as a ruled table with a grey head."""
    cells = [[Paragraph(f"<b>{cell}</b>" if row == rows[0] else cell, style) for cell in row] for row in rows]
    look = [
        ("GRID", (0, 0), (-1, -1), 0.5, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    return Table(cells, style=look, hAlign="LEFT", repeatRows=1)


def write_scan(source: Source, target: Path) -> None:
    """Write a PDF that holds only a picture: print, turned a little, with the noise of a scanner."""
    page = Image.new("L", (1240, 1754), 246)
    pen = ImageDraw.Draw(page)
    y = 190
    for block in source.blocks:
        size = 52 if block.kind == "title" else 34
        pen.text((150, y), block.text, fill=35, font=ImageFont.load_default(size))
        y += 2 * size
    pen.line([(150, y + 60), (620, y + 20), (560, y + 70), (700, y + 35)], fill=60, width=4)
    page = page.rotate(0.7, resample=Image.Resampling.BICUBIC, fillcolor=246)
    noise = np.random.default_rng(2025).normal(0, 9, (page.height, page.width))
    page = Image.fromarray(np.clip(np.asarray(page) + noise, 0, 255).astype(np.uint8))
    picture = io.BytesIO()
    page.save(picture, "JPEG", quality=45)
    day = source.date.timetuple()
    Image.open(picture).save(
        target, "PDF", resolution=150, quality=45, title=source.title, creationDate=day, modDate=day
    )


WRITERS: dict[str, tuple[Callable[[Source, Path], None], str]] = {
    ".docx": (write_docx, ".docx"),
    ".pptx": (write_pptx, ".pptx"),
    ".xlsx": (write_xlsx, ".xlsx"),
    ".pdf": (write_pdf, ".pdf"),
    ".scan": (write_scan, ".pdf"),
}


def build(target: Path = HERE / "handbook") -> list[Path]:
    """Write every document that has a source into the folder and return their paths."""
    written = []
    for path in sorted((HERE / "sources").glob("*.txt")):
        name = Path(path.stem)
        write, suffix = WRITERS[name.suffix]
        written.append(target / f"{name.stem}{suffix}")
        write(read(path), written[-1])
    return written


if __name__ == "__main__":
    for document in build():
        print(document.name, document.stat().st_size)
